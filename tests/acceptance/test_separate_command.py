"""The command ``separate`` as a process: files in, files out, exit statuses, interruptions."""

import json
import os
import pty
import re
import signal
import subprocess
import termios
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from spleeter_microservice import errors
from spleeter_microservice.audio.output_format import OutputFormat
from spleeter_microservice.audio.reader import AudioReader
from spleeter_microservice.audio.writer import AudioWriter
from spleeter_microservice.cli.exit_statuses import SOME_FAILED
from spleeter_microservice.separation.presets import PRESETS
from tests.support.films import check_deu, check_step, dubbed
from tests.support.separate_command import Command, Run, files
from tests.support.tagged_songs import SONG, put, seen
from tests.support.waiting import wait_until


def song(
    path: Path, seconds: float = 1.0, seed: int = 0, level: float = 0.1, bit_depth: str | None = None
) -> Path:
    samples = round(seconds * 44100)
    noise = np.random.default_rng(seed).standard_normal((samples, 2)) * level
    with AudioWriter(path, OutputFormat("wav", bit_depth=bit_depth)) as writer:
        writer.write(noise.astype(np.float32))
        writer.finish()
        writer.commit()
    return path


def read(path: Path) -> NDArray[np.float32]:
    with AudioReader(path) as reader:
        return np.concatenate(list(reader.blocks(1 << 16)))


STEMS = ["drums.wav", "other.wav", "vocals.wav"]


def test_stems_are_where_spleeter_puts_them(separate: Command, tmp_path: Path) -> None:
    song(tmp_path / "My song.wav")
    result = separate("-o", "out", "My song.wav")
    assert result.returncode == 0, result.stderr
    assert files(tmp_path / "out") == [f"My song/{stem}" for stem in STEMS]
    assert all(len(read(tmp_path / "out" / "My song" / stem)) == 44100 for stem in STEMS)
    assert "out/My song/vocals.wav" in result.stdout
    assert "dBFS, estimated quality: " in result.stdout
    assert "times faster than real time" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize(
    "name", ["-dash.wav", "ünïcödé 歌.wav", "a" * 200 + ".wav", "100%:d.wav", "a'b\"c.wav", "file.tar.wav"]
)
def test_unusual_file_names_are_accepted(here: Run, tmp_path: Path, name: str) -> None:
    song(tmp_path / name, 0.1)
    result = here("-o", "out", "--", name)
    assert result.returncode == 0, result.stderr
    assert files(tmp_path / "out") == [f"{name.removesuffix('.wav')}/{stem}" for stem in STEMS]


def test_a_damaged_file_is_separated_with_a_warning_or_refused(here: Run, tmp_path: Path) -> None:
    whole = song(tmp_path / "song.wav", 3).read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    result = here("-o", "out", "--report", "report.json", "cut.wav")
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(r"Warning: cut\.wav, at 1\.50 s: [^\n]+\.\n", result.stderr)
    assert 1.49 < len(read(tmp_path / "out" / "cut" / "vocals.wav")) / 44100 < 1.51
    (entry,) = json.loads((tmp_path / "report.json").read_text())["songs"]
    (warning,) = entry["warnings"]
    assert (warning["code"], round(warning["position"], 2)) == ("cut-off", 1.5)
    assert (entry["state"], entry["track"]["number"], entry["start_time"]) == ("succeeded", 1, 0)
    result = here("-o", "strict", "--strict", "cut.wav")
    assert result.returncode == errors.TruncatedInputError.exit_status
    assert files(tmp_path / "strict") == []


def test_what_lies_beside_songs_in_a_folder_is_skipped(here: Run, tmp_path: Path) -> None:
    album = tmp_path / "album"
    album.mkdir()
    song(album / "...wav", 0.1)  # without its extension, a name that leads to the folder above
    companions = {
        "._Song.mp3": b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(4000),
        ".DS_Store": b"\0\0\0\1Bud1" + bytes(6000),
        "Thumbs.db": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(3000),
        "cover.jpg": b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1" + bytes(3000),
        "desktop.ini": b"",
    }
    for name, content in companions.items():
        (album / name).write_bytes(content)
    result = here("-o", "out", album)
    assert result.returncode == 0, result.stderr
    assert files(tmp_path / "out") == [f"...wav/{name}" for name in [".spleeter.json", *STEMS]]
    assert sorted(result.stderr.splitlines()) == [
        f"Skipped: {album / name} is not a song." for name in sorted(companions)
    ]


def test_options_mean_what_spleeter_means_by_them(here: Run, tmp_path: Path) -> None:
    song(tmp_path / "song.wav", 2)
    result = here(
        *(
            "-o",
            "out",
            "-c",
            "flac",
            "-s",
            "0.5",
            "-d",
            "1",
            "-f",
            "{foldername}-{filename}.{instrument}.{codec}",
        ),
        "song.wav",
    )
    assert result.returncode == 0, result.stderr
    assert files(tmp_path / "out") == [
        f"{tmp_path.name}-song.{stem}.flac" for stem in ("drums", "other", "vocals")
    ]
    assert len(read(tmp_path / "out" / f"{tmp_path.name}-song.drums.flac")) == 44100


def test_a_name_that_is_not_text_is_escaped(separate: Command, tmp_path: Path) -> None:
    (tmp_path / "a.json").symlink_to("report.json")
    song(tmp_path / "b\udcff.wav", 0.1)
    result = separate("-o", "out", "--json", "--report", "a.json", "b\udcff.wav")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == json.loads((tmp_path / "report.json").read_text())
    assert json.loads(result.stdout)["songs"][0]["source"] == "b\udcff.wav"
    assert separate("-o", "out", "b\udcff.wav", "--report", "-").stdout.startswith("{")


def test_flags_of_official_spleeter_are_accepted(separate: Command, tmp_path: Path) -> None:
    song(tmp_path / "song.wav", 1)
    (tmp_path / "mine.py").write_text(ADAPTER)
    separate.environment = separate.environment | {"PYTHONPATH": str(tmp_path)}
    result = separate(
        "-a",
        "mine.Mine",
        "-B",
        "librosa",
        "--verbose",
        "-b",
        "200k",
        "-c",
        "mp3",
        "-d",
        "0.5",
        "-i",
        "song.wav",
    )
    assert result.returncode == 0, result.stderr
    notes = [line for line in result.stderr.splitlines() if line.startswith("Note: ")]
    assert len(notes) == 3
    for note, words in zip(
        sorted(notes), ("-B is", "-i is deprecated; write", "200k; 192k, the nearest"), strict=True
    ):
        assert words in note
    assert "INFO:" in result.stderr
    stems = tmp_path / "separated_audio" / "song"
    expected = separate("-o", "own", "-d", "0.5", "-b", "192k", "-c", "mp3", "song.wav")
    assert expected.returncode == 0
    for stem in ("drums", "other", "vocals"):
        np.testing.assert_allclose(
            read(stems / f"{stem}.mp3"), read(tmp_path / "own" / "song" / f"{stem}.mp3"), atol=1e-3
        )
        assert (stems / f"{stem}.mp3.txt").read_text() == "(22050, 2) 44100 mp3 200k"
    refused = separate("-a", "mine.Mine", "--channels", "source", "song.wav")
    assert refused.returncode == errors.ConfigurationError.exit_status
    assert "or -a" in refused.stderr


ADAPTER = """
from pathlib import Path
from spleeter_microservice.compat.audio.adapter import AudioAdapter

class Mine(AudioAdapter):
    def load(self, *arguments, **options):
        return AudioAdapter.default().load(*arguments, **options)

    def save(self, path, data, sample_rate, codec=None, bitrate=None):
        AudioAdapter.default().save(path, data, sample_rate, codec, bitrate)
        Path(f"{path}.txt").write_text(f"{data.shape} {sample_rate} {codec} {bitrate}")
"""


def test_bitrate_bit_depth_dither_and_tags_reach_the_encoder(here: Run, tmp_path: Path) -> None:
    put(song(tmp_path / "song.wav", 2), SONG)
    for bitrate in ("64k", "256k"):
        assert here("-o", bitrate, "-c", "mp3", "-b", bitrate, "song.wav").returncode == 0
    small, large = ((tmp_path / b / "song" / "drums.mp3").stat().st_size for b in ("64k", "256k"))
    assert 3 < large / small < 4.5
    for folder, options in (
        ("float", ["--bit-depth", "32f"]),
        ("usual", ["--no-tags"]),
        ("dithered", ["--no-tags", "--dither"]),
    ):
        assert here("-o", folder, *options, "song.wav").returncode == 0
    real, usual, dithered = (
        (tmp_path / folder / "song" / "drums.wav").read_bytes() for folder in ("float", "usual", "dithered")
    )
    assert len(real) > 2 * 44100 * 8
    assert len(usual) == len(dithered)
    assert usual != dithered
    assert seen(tmp_path / "float" / "song" / "drums.wav")["title"] == "Söng (drums)"
    assert "title" not in seen(tmp_path / "usual" / "song" / "drums.wav")


def test_mixes_are_written_and_reported_and_impossible_ones_refused(here: Run, tmp_path: Path) -> None:
    song(tmp_path / "song.wav", 1)
    result = here(
        *("-o", "out", "--only", "vocals", "--mix", "half=drums+vocals@-6dB", "--mix", "instrumental"),
        *("--without", "drums", "--level", "-9.5", "--level-each", "--report", "report.json", "song.wav"),
    )
    assert result.returncode == 0, result.stderr
    names = ["half", "instrumental", "no_drums", "vocals"]
    assert files(tmp_path / "out") == [f"song/{name}.wav" for name in names]
    assert re.search(r"out/song/half\.wav  -\d+\.\d dBFS \(\+\d+\.\d dB\)", result.stdout)
    (entry,) = json.loads((tmp_path / "report.json").read_text())["songs"]
    assert ([*entry["stems"]], sorted(entry["mixes"])) == (["vocals"], names[:3])
    assert len({file["gain"] for file in (entry["stems"] | entry["mixes"]).values()}) > 1
    for impossible, reason in (
        (("--mix", "karaoke=accompaniment"), "has the stems vocals, drums, other, but no accompaniment."),
        (("--level", "loud"), "Choose as-is, prevent-clipping or a loudness of -70 to 0 LUFS, such as -14."),
        (("--level-each",), "level_each changes nothing while the level is as-is."),
    ):
        refused = here("-o", "none", *impossible, "song.wav")
        assert refused.returncode == errors.ConfigurationError.exit_status
        assert reason in refused.stderr
    assert not (tmp_path / "none").exists()


def test_a_preset_stands_for_options(here: Run, tmp_path: Path) -> None:
    song(tmp_path / "song.wav", 0.1)
    result = here("-o", "out", "--preset", "karaoke", "--report", "report.json", "song.wav")
    assert result.returncode == 0, result.stderr
    assert files(tmp_path / "out") == ["song/karaoke.mp3"]
    (entry,) = json.loads((tmp_path / "report.json").read_text())["songs"]
    assert (entry["parameters"]["preset"], entry["parameters"]["bitrate"]) == ("karaoke", "320k")
    listed = here("--list-presets").stdout
    assert [line.partition(":")[0] for line in listed.splitlines()[::2]] == [*PRESETS]


def test_a_track_comes_at_its_own_rate_and_with_its_delay(here: Run, tmp_path: Path) -> None:
    options = ("--track", "deu", "--keep-delay", "--sample-rate", "source", "--channels", "source")
    result = here("-o", "out", "--bit-depth", "24", "--bandwidth", "full", *options, dubbed(tmp_path))
    assert result.returncode == 0, result.stderr
    check_deu((tmp_path / "out" / "film" / stem).read_bytes() for stem in STEMS)


def test_a_film_gets_a_mix_as_its_sound(here: Run, tmp_path: Path) -> None:
    options = ("--track", "deu", "--bandwidth", "full", "--video", "whole=all")
    mixes = ("--mix", "all=vocals+drums+other", "--only", "all")
    result = here("-o", "out", *options, *mixes, dubbed(tmp_path))
    assert result.returncode == 0, result.stderr
    assert files(tmp_path / "out") == ["film/all.wav", "film/whole.mkv"]
    check_step((tmp_path / "out" / "film" / "whole.mkv").read_bytes())


def test_one_bad_file_does_not_stop_the_others(here: Run, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("not audio at all, but long enough to be looked at closely")
    song(tmp_path / "good.wav", 0.1)
    result = here("-o", "out", "--json", "missing.wav", "text.wav", "good.wav")
    assert result.returncode == SOME_FAILED
    songs = json.loads(result.stdout)["songs"]
    assert [s["state"] for s in songs] == ["failed", "failed", "succeeded"]
    assert [s["error"]["type"] for s in songs[:2]] == ["UnreadableInputError", "NotAudioError"]
    assert files(tmp_path / "out") == [f"good/{name}" for name in [".spleeter.json", *STEMS]]
    assert result.stderr.count("Error: ") == 2


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["missing.wav"], errors.UnreadableInputError, "missing.wav"),
        (["loop.wav"], errors.UnreadableInputError, "loop.wav"),
        (["-o", "loop.wav", "song.wav"], errors.UnwritableOutputError, "loop.wav"),
        (["empty.wav"], errors.EmptyInputError, "empty.wav"),
        (["text.wav"], errors.NotAudioError, "text.wav"),
        (["no-samples.wav"], errors.NoSamplesError, "no-samples.wav"),
        (["short.wav"], errors.TruncatedInputError, "only 0.10 s"),
        (["--strict", "nan.wav"], errors.InvalidSamplesError, "nan.wav"),
        (["--track", "2", "song.wav"], errors.NoSuchTrackError, "tracks: 1"),
        (["-s", "99", "song.wav"], errors.NoSamplesError, "song.wav"),
        (["-s", "-1", "song.wav"], errors.ConfigurationError, "offset"),
        (["-d", "0", "song.wav"], errors.ConfigurationError, "duration"),
        (["-b", "fast", "song.wav"], errors.ConfigurationError, "fast"),
        (["--sample-rate", "fast", "song.wav"], errors.ConfigurationError, "Write it in Hz"),
        (["-c", "opus", "--sample-rate", "44100", "song.wav"], errors.ConfigurationError, "48000 Hz"),
        (["-c", "ogg", "--channels", "source", "song.wav"], errors.ConfigurationError, "or stereo"),
        (["-c", "stem.mp4", "song.wav"], errors.ConfigurationError, "such as 4stems"),
        (["-c", "stem.mp4", "--only", "drums", "song.wav"], errors.ConfigurationError, "into one file"),
        (["-c", "opus", "--sample-rate", "source", "song.wav"], errors.ConfigurationError, "48000 Hz"),
        (["--video", "film=instrumental", "song.wav"], errors.NoPicturesError, "song.wav is not a film"),
        (["--video", "f=vocals", "-s", "1", "song.wav"], errors.ConfigurationError, "keeps all of its"),
        (["--video", "f=vocals", "-"], errors.ConfigurationError, "Name its file"),
        (["--video", "f=strings", "song.wav"], errors.ConfigurationError, "no strings"),
        (["--video", "f=vocals", "--mix", "f=drums", "song.wav"], errors.ConfigurationError, "same name"),
        ([], errors.ConfigurationError, "No file is named"),
        (["-a", "nowhere.Adapter", "song.wav"], errors.ConfigurationError, "nowhere.Adapter"),
        (["song.wav", "song.wav"], errors.ConflictingPathsError, "belongs to song.wav"),
        (
            ["-o", ".", "-f", "{instrument}.wav", "song.wav", "drums.wav"],
            errors.ConflictingPathsError,
            "belongs to drums.wav",
        ),
        (["-f", "{filename}.{codec}", "song.wav"], errors.ConflictingPathsError, "{instrument}"),
        (["-f", "{nonsense}", "song.wav"], errors.ConfigurationError, "{instrument}"),
        (["-f", "{instrument", "song.wav"], errors.ConfigurationError, "{instrument}"),
        (["-o", "song.wav", "song.wav"], errors.UnwritableOutputError, "song.wav"),
        (["--report", "nowhere/report.json", "song.wav"], errors.UnwritableOutputError, "nowhere"),
        (["s3://songs/../song.wav"], errors.ForbiddenAddressError, "s3://bucket/folder/song.mp3"),
        (["--skip-existing", "song.wav", "-o", "s3://songs/out"], errors.ConfigurationError, "in a bucket"),
        (["-p", "7stems", "song.wav"], errors.UnknownModelError, "2stems"),
        (["-p", "missing.json", "song.wav"], errors.ConfigurationError, "missing.json"),
    ],
)
def test_every_error_is_clear_and_leaves_nothing(
    here: Run,
    tmp_path: Path,
    arguments: list[str],
    error: type[errors.SpleeterError],
    words: str,
) -> None:
    whole = song(tmp_path / "song.wav", 0.2).read_bytes()
    (tmp_path / "empty.wav").touch()
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    (tmp_path / "text.wav").write_text("no audio " * 100)
    (tmp_path / "short.wav").write_bytes(whole[: len(whole) // 2])
    song(tmp_path / "no-samples.wav", 0)
    header = song(tmp_path / "nan.wav", 0.1, bit_depth="32f").read_bytes()[:-80]
    (tmp_path / "nan.wav").write_bytes(header + 20 * np.float32(np.nan).tobytes())
    before = files(tmp_path)
    result = here("-o", "out", *arguments)
    assert result.returncode == error.exit_status, result.stderr
    assert result.stderr.startswith("Error: ")
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert files(tmp_path) == before
    assert not (tmp_path / "out").exists()


def test_two_inputs_of_one_name_do_not_overwrite_each_other(here: Run, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        song(tmp_path / folder / "song.wav", 0.1, seed=ord(folder))
    result = here("-o", "out", "a/song.wav", "b/song.wav")
    assert result.returncode == errors.ConflictingPathsError.exit_status
    assert "{foldername}" in result.stderr
    assert not (tmp_path / "out").exists()
    result = here("-o", "out", "-f", "{foldername}/{instrument}.{codec}", "a/song.wav", "b/song.wav")
    assert result.returncode == 0


def test_a_report_contains_the_measurements(separate: Command, tmp_path: Path) -> None:
    song(tmp_path / "song.wav", 1)
    result = separate("-o", "out", "--json", "--report", "report.json", "song.wav")
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert report == json.loads(result.stdout)
    (entry,) = report["songs"]
    assert entry["duration"] == 1
    assert entry["samples"] == 44100
    assert entry["realtime_factor"] == pytest.approx(1 / entry["elapsed"], rel=0.05)
    assert len(entry["model"]["weights_sha256"]) == 64
    assert entry["provider"].endswith("ExecutionProvider")
    assert entry["parameters"]["codec"] == "wav"
    assert set(entry["versions"]) == {"python", "spleeter-microservice", "onnxruntime", "numpy", "av"}
    for stem in entry["stems"].values():
        expected = 10 * np.log10(np.square(read(tmp_path / stem["path"]), dtype=np.float64).mean())
        assert stem["level"] == pytest.approx(expected, abs=0.05)


def test_samples_beyond_full_scale_are_counted_and_not_wrapped(here: Run, tmp_path: Path) -> None:
    song(tmp_path / "loud.wav", 1, level=3, bit_depth="32f")
    result = here("-o", "out", "--json", "--bandwidth", "full", "loud.wav")
    (entry,) = json.loads(result.stdout)["songs"]
    for name, stem in entry["stems"].items():
        assert stem["clipped_samples"] == stem["beyond_full_scale"], name
    assert sum(stem["clipped_samples"] for stem in entry["stems"].values()) > 0


@pytest.mark.parametrize("options", [(), ("--mwf",)])
@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_call_leaves_nothing_half_written(
    separate: Command, tmp_path: Path, number: signal.Signals, expected: int, options: tuple[str, ...]
) -> None:
    song(tmp_path / "long.wav", 120)
    process = separate.start(*options, "-o", "out", "long.wav")
    wait_until(lambda: list((tmp_path / "out").rglob(".*")))
    process.send_signal(number)
    _, stderr = process.communicate()
    assert process.returncode == expected
    assert "Traceback" not in stderr
    assert not (tmp_path / "out").exists()


def test_progress_bars_are_drawn_on_a_terminal_only(separate: Command, tmp_path: Path) -> None:
    for name in ("song.wav", "other.wav"):
        song(tmp_path / name, 0.2)
    assert "%" not in separate("-o", "out", "song.wav", "other.wav").stderr
    controller, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    process = subprocess.Popen(
        [*separate.words, "-o", "out", "song.wav", "other.wav"],
        cwd=tmp_path,
        env=separate.environment,
        stdout=subprocess.DEVNULL,
        stderr=terminal,
    )
    os.close(terminal)
    drawn = b""
    with suppress(OSError):  # the command has closed the other end
        while True:
            drawn += os.read(controller, 4096)
    os.close(controller)
    assert process.wait() == 0
    for bar in (b"song.wav: ", b"other.wav: ", b"2 of 2 songs: 100%"):
        assert bar in drawn


def test_a_closed_output_pipe_is_not_an_error(separate: Command, tmp_path: Path) -> None:
    song(tmp_path / "song.wav", 0.1)
    process = separate.start("-o", "out", "song.wav")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    stderr = process.stderr.read()
    process.stderr.close()
    process.wait()
    assert "Traceback" not in stderr
    assert files(tmp_path / "out") == [f"song/{stem}" for stem in STEMS]
