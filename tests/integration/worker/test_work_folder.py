"""Work directories are emptied safely."""

from pathlib import Path

from spleeter_microservice.worker.work_folder import empty


def test_an_emptied_directory_is_still_the_one_that_processes_are_confined_to(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    empty(folder)
    before = folder.stat().st_ino
    (folder / "below").mkdir()
    (folder / "below" / "stem.wav").touch()
    (folder / "input.wav").touch()
    empty(folder)
    assert not [*folder.iterdir()]
    assert folder.stat().st_ino == before


def test_the_target_of_a_link_is_not_emptied(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "work", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "song.wav").touch()
    empty(folder)
    (folder / "link").symlink_to(elsewhere)
    empty(folder)
    assert not [*folder.iterdir()]
    assert (elsewhere / "song.wav").exists()
