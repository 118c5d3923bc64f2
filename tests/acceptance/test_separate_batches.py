"""The command ``separate`` with many songs: folders, records, dry runs, pipes, interruptions."""

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from spleeter_microservice import errors
from spleeter_microservice.cli.record import Record
from tests.support.audio_files import encode_kind, noise
from tests.support.separate_command import Command, Run, files
from tests.support.waiting import wait_until

STEMS = ("drums.wav", "other.wav", "vocals.wav")
RECORD = ".spleeter.json"


def song(path: Path, seed: int = 0, samples: int = 4410) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    encode_kind(path, noise(samples, seed=seed), "s16.wav")
    return path


def states(document: str) -> dict[str, str]:
    return {entry["source"]: entry["state"] for entry in json.loads(document)["songs"]}


def test_folders_in_folders_are_taken_with_recursive_alone(here: Run, tmp_path: Path) -> None:
    music = tmp_path / "music"
    for seed, name in enumerate(("song.wav", "a/song.wav", "a/b/song.wav", ".hidden/song.wav", "[1] x.wav")):
        song(music / name, seed)
    (music / "a" / "song.cue").write_text("FILE song.wav WAVE " * 20)  # its stems would have the song's paths
    (music / "a" / "loop").symlink_to(music)
    assert set(states(here("-o", "flat", "--json", "music").stdout)) == {"music/[1] x.wav", "music/song.wav"}
    expected = {
        f"music/{name}": "succeeded" for name in ("[1] x.wav", "song.wav", "a/song.wav", "a/b/song.wav")
    }
    result = here("-r", "-o", "music/stems", "--json", "music")
    assert states(result.stdout) == expected | {"music/a/song.cue": "skipped"}
    folders = {str(Path(name).parent) for name in files(music / "stems")}
    assert folders == {"[1] x", "song", "a/song", "a/b/song"}
    # Stems are no songs, in the folder of the output and wherever a record lists them.
    for record in (music / "stems").rglob(RECORD):
        record.rename(record.with_suffix(".off"))
    planned = states(here("-r", "-o", "music/stems", "--dry-run", "--json", "music").stdout)
    assert {name for name in planned if not name.endswith("cue")} == set(expected)
    for record in (music / "stems").rglob("*.off"):
        record.rename(record.with_suffix(".json"))
    (music / "stems").rename(music / "old stems")
    again = here("-r", "-o", "music/stems", "--continue", "--json", "music")
    assert states(again.stdout) == expected | {"music/a/song.cue": "skipped"}
    for pattern, source in (("music/[ab]/s*.wav", "music/a/song.wav"), ("music/[1] x.wav",) * 2):
        assert states(here("-o", "out", "--dry-run", "--json", pattern).stdout) == {source: "planned"}


def test_only_what_differs_is_separated_again(
    here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, name in enumerate(("same", "changed", "cut", "missing", "replaced")):
        song(tmp_path / "in" / f"{name}.wav", seed)
    run = ("-o", "out", "--json", "in")
    assert set(states(here(*run).stdout).values()) == {"succeeded"}
    before = (tmp_path / "in" / "changed.wav").stat()
    song(tmp_path / "in" / "changed.wav", 9)
    os.utime(tmp_path / "in" / "changed.wav", ns=(before.st_atime_ns, before.st_mtime_ns))
    os.truncate(tmp_path / "out" / "cut" / "drums.wav", 5000)
    (tmp_path / "out" / "missing" / "other.wav").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(Record, "add", lambda _: None)  # as if killed when stems of the same size are there
        assert here("-o", "out", "--bandwidth", "full", "in/replaced.wav").returncode == 0
    result = here("--skip-existing", *run)
    assert states(result.stdout) == {
        f"in/{name}.wav": "existing" if name == "same" else "succeeded"
        for name in ("same", "changed", "cut", "missing", "replaced")
    }
    assert set(states(here("--continue", *run).stdout).values()) == {"existing"}
    text = here("--continue", "-o", "out", "in").stdout
    assert text.splitlines().count("in/same.wav: already separated") == 1
    for options in (["--mwf"], ["-s", "0.01"]):
        assert set(states(here("--continue", *options, *run).stdout).values()) == {"succeeded"}


def test_a_dry_run_touches_nothing(here: Run, tmp_path: Path) -> None:
    song(tmp_path / "in" / "a.wav")
    song(tmp_path / "in" / "b.wav", 1)
    (tmp_path / "in" / "cover.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(500))
    assert here("--skip-existing", "-o", "out", "in/a.wav").returncode == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    result = here("--dry-run", "--continue", "-o", "out", "in")
    assert result.stdout.splitlines() == [
        "in/a.wav: already separated",
        "in/b.wav: to be separated (no record of out/b/vocals.wav)",
        *(f"    out/b/{stem}.wav" for stem in ("vocals", "drums", "other")),
    ]
    assert result.stderr == "Skipped: in/cover.jpg is not a song.\n"
    planned = json.loads(here("--dry-run", "-p", "spleeter:5stems", "--json", "in/b.wav").stdout)["songs"]
    assert list(planned[0]["stems"]) == ["vocals", "piano", "drums", "bass", "other"]
    assert here("--dry-run", "in/none.wav").returncode == errors.UnreadableInputError.exit_status
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_songs_and_stems_go_through_pipes(separate: Command, here: Run, tmp_path: Path) -> None:
    content = song(tmp_path / "song.wav").read_bytes()
    assert here("-o", "out", "song.wav").returncode == 0

    def pipe(*arguments: str, reads: bool = True) -> tuple[int, bytes, str]:
        command = subprocess.Popen(
            [*separate.words, *arguments],
            cwd=tmp_path,
            env=separate.environment | {"TMPDIR": str(tmp_path / "tmp")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert command.stdout
        if not reads:
            command.stdout.close()
        output, complaints = command.communicate(content)
        return command.returncode, output or b"", complaints.decode()

    (tmp_path / "tmp").mkdir()
    stem = (tmp_path / "out" / "song" / "drums.wav").read_bytes()
    assert pipe("-", "--stdout", "drums") == (0, stem, "")
    assert pipe("-", "--stdout", "drums", reads=False) == (141, b"", "")
    status, printed, _ = pipe("-o", "piped", "-", "--json-lines", "-")
    assert status == 0
    assert [(line["source"], line["state"]) for line in map(json.loads, printed.splitlines())] == [
        ("-", "succeeded")
    ]
    assert files(tmp_path / "piped") == [f"stdin/{name}" for name in STEMS]
    content = b"no song " * 100
    status, printed, complaints = pipe("-", "--stdout", "drums")
    assert (status, printed) == (errors.NotAudioError.exit_status, b"")
    assert complaints.startswith("Error: - is not")
    assert files(tmp_path / "tmp") == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--json-lines", "/dev/full", "missing.wav"], "No space left"),
        (["--json-lines", "nowhere/lines", "a.wav"], "nowhere"),
        (["--stdout", "drums", "a.wav", "b.wav"], "2 are named"),
        (["--stdout", "drums", "--json", "a.wav"], "--json and --stdout both need standard output"),
        (["--stdout", "drums", "--report", "-", "a.wav"], "--report - and --stdout both"),
        (["--json", "--json-lines", "-", "a.wav"], "--json and --json-lines - both"),
        (["--stdout", "drums", "--continue", "a.wav"], "--stdout writes no file"),
        (["--stdout", "piano", "a.wav"], "Choose vocals, drums, other"),
        (["--dry-run", "--report", "report.json", "a.wav"], "--dry-run writes no report"),
        (["--dry-run", "-p", "7stems", "a.wav"], "7stems"),
    ],
)
def test_what_cannot_be_done_is_refused(
    here: Run, tmp_path: Path, arguments: Sequence[str], words: str
) -> None:
    song(tmp_path / "a.wav")
    song(tmp_path / "b.wav")
    result = here("-o", "out", *arguments)
    assert (result.returncode != 0, result.stdout) == (True, "")
    assert words in result.stderr
    assert files(tmp_path) == ["a.wav", "b.wav"]


def test_an_interrupted_batch_does_each_song_once(separate: Command, tmp_path: Path) -> None:
    names = [f"{number:02}" for number in range(12)]
    for number, name in enumerate(names):
        song(tmp_path / "in" / f"{name}.wav", number, 66150)
    arguments = ("-r", "--continue", "-o", "out", "--json-lines", "lines", "in")
    done: dict[Path, int] = {}
    for number, so_many in ((signal.SIGKILL, 1), (signal.SIGINT, 3), (signal.SIGTERM, 5)):
        process = separate.start(*arguments)
        wait_until(partial(has_succeeded, tmp_path, so_many))
        process.send_signal(number)
        process.communicate()
        assert done.items() <= recorded(tmp_path).items()
        done = recorded(tmp_path)
    (tmp_path / "out" / "00" / ".0123456789abcdef.part").touch()  # as SIGKILL would leave it
    assert separate(*arguments).returncode == 0
    assert done.items() <= recorded(tmp_path).items()
    assert files(tmp_path / "out") == [f"{name}/{file}" for name in names for file in (RECORD, *STEMS)]
    sources = [line["source"] for line in succeeded(tmp_path)]
    assert len(sources) == len(set(sources))
    assert len(recorded(tmp_path)) == 3 * len(names)


def recorded(folder: Path) -> dict[Path, int]:
    """Return when each stem was written that a record says is complete."""
    stems: dict[Path, int] = {}
    for record in (folder / "out").rglob(RECORD):
        for entry in json.loads(record.read_text())["songs"]:
            stems |= {
                record.parent / name: (record.parent / name).stat().st_mtime_ns for name in entry["files"]
            }
    return stems


def succeeded(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "lines").read_text().splitlines() if (folder / "lines").exists() else []
    return [entry for entry in map(json.loads, lines) if entry["state"] == "succeeded"]


def has_succeeded(folder: Path, so_many: int) -> bool:
    return len(succeeded(folder)) >= so_many
