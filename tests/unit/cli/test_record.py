"""A record counts only for the stems that it describes, whatever is in its file."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from spleeter_microservice.cli.record import Record, made_from
from spleeter_microservice.separation.options import SeparationOptions

MADE_FROM = {"input": "ab", **made_from({"bins": 64}, "cd", SeparationOptions(), None)}


def written(folder: Path) -> Record:
    paths = [folder / "vocals.wav", folder / "other" / "drums.wav"]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"stem")
    record = Record(MADE_FROM, paths)
    record.add()
    return record


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"input": "ef"}, "another input"),
        ({"model": {"weights_sha256": "cd", "bins": 32}}, "another model"),
        (made_from({"bins": 64}, "cd", SeparationOptions(mwf=True), None), "other options"),
        (made_from({"bins": 64}, "cd", SeparationOptions(), "my.Adapter"), "other options"),
        ({"results": 0}, "older version"),
    ],
)
def test_a_song_is_done_only_if_it_was_made_in_the_same_way(
    tmp_path: Path, change: dict[str, object], reason: str | None
) -> None:
    found = replace(written(tmp_path), made_from={**MADE_FROM, **change}).missing()
    assert found is None if reason is None else reason in str(found)


def test_stems_that_are_replaced_leave_the_record_before(tmp_path: Path) -> None:
    record = written(tmp_path)
    Record({}, [tmp_path / "vocals.wav"]).remove()
    assert record.missing() == f"no record of {tmp_path / 'vocals.wav'}"
    assert Record.made_in(tmp_path / "other") == {"drums.wav", ".spleeter.json"}
    record.add()
    assert record.missing() is None
    songs = json.loads((tmp_path / ".spleeter.json").read_text())["songs"]
    assert [song["files"] for song in songs] == [{"vocals.wav": 4}]


@pytest.mark.parametrize(
    "text",
    ["", "\udcff", "[]", "{}", '{"songs": 1}', '{"songs": [1]}', '{"songs": [{"files": []}]}', "[" * 9999],
)
def test_a_file_that_is_no_record_is_replaced(tmp_path: Path, text: str) -> None:
    record = written(tmp_path)
    (tmp_path / ".spleeter.json").write_bytes(text.encode(errors="surrogateescape"))
    assert record.missing() == f"no record of {tmp_path / 'vocals.wav'}"
    record.add()
    assert record.missing() is None
