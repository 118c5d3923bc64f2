"""Files are replaced whole or not at all."""

from pathlib import Path

import pytest

from spleeter_microservice.files import replace_atomically


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
