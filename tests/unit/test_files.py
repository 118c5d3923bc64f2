"""Files are replaced whole or not at all."""

from pathlib import Path

import pytest

from spleeter_microservice.files import lock, remove_abandoned, replace_atomically


@pytest.mark.parametrize("flush", [False, True])
def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path: Path, flush: bool) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")
    with replace_atomically(path, flush=flush) as new:
        new.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError), replace_atomically(path) as new:
        new.write_text("half of the n\udc80", encoding="utf-8")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_long_name_leaves_room_for_the_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    with replace_atomically(path) as new:
        new.write_text("new")
    assert path.read_text() == "new"


def test_temporary_files_that_no_process_writes_are_removed(tmp_path: Path) -> None:
    abandoned, written, other = (
        tmp_path / name for name in (f".{16 * '0'}.part", f".{16 * '1'}.part", ".song.part")
    )
    for path in (abandoned, written, other):
        path.touch()
    held = lock(written)
    assert held
    with held:
        assert lock(written) is None
        remove_abandoned(tmp_path)
        assert sorted(tmp_path.iterdir()) == [written, other]
    remove_abandoned(tmp_path)
    assert list(tmp_path.iterdir()) == [other]
    remove_abandoned(tmp_path / "none")
