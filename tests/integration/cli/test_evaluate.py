"""The command ``evaluate`` scores models and files, and reports as tables, JSON and HTML."""

from __future__ import annotations

import io
import json
import re
import statistics
import sys
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spleeter_microservice.cli.exit_statuses import SOME_FAILED
from spleeter_microservice.cli.main import make_parser
from spleeter_microservice.errors import (
    ConfigurationError,
    MissingEstimateError,
    StemLengthError,
    UnknownStemError,
)
from spleeter_microservice.settings import Settings
from tests.support.audio_files import RATE, Waveform, noise
from tests.support.random_models import TINY, write_configured
from tests.support.song_folders import mixed, stems, write_musdb, write_song

TWO = ("vocals", "accompaniment")
FOUR = ("drums", "bass", "other", "vocals")


def evaluate(tmp_path: Path, *arguments: object) -> tuple[int, dict[str, Any]]:
    """Run the command and return its exit status and its JSON."""
    report = tmp_path / "report.json"
    options = make_parser().parse_args(["evaluate", *map(str, arguments), "--json", str(report)])
    status = options.run(options, Settings(tmp_path / "store"))
    content = json.loads(report.read_text())
    assert isinstance(content, dict)
    return status, content


def write_estimates(folder: Path, references: dict[str, Waveform], level: float, seed: int = 7) -> Path:
    """Write the reference stems with added noise that is ``level`` times as loud."""
    folder.mkdir(parents=True, exist_ok=True)
    return write_song(
        folder, {name: w + np.float32(level) * noise(len(w), seed=seed) for name, w in references.items()}
    )


@pytest.fixture
def songs(tmp_path: Path) -> tuple[Path, Path]:
    """Write two songs, and estimates of them with SDRs of 20 and 14 dB."""
    for k, level in enumerate((0.1, 0.2)):
        waveforms = {name: noise(2 * RATE, seed=10 * k + i) for i, name in enumerate(TWO)}
        write_song(tmp_path / "songs" / f"song {k}", waveforms | {"mixture": mixed(waveforms)})
        write_estimates(tmp_path / "estimates" / f"song {k}", waveforms, level)
    return tmp_path / "songs", tmp_path / "estimates"


def test_every_metric_is_reported_for_each_song_and_for_all(
    tmp_path: Path, songs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    status, report = evaluate(tmp_path, "mine", songs[0], "--estimates", songs[1], "--bsseval")
    assert status == 0
    assert [song["song"] for song in report["songs"]] == ["song 0", "song 1"]
    for song, expected in zip(report["songs"], (20, 20 * np.log10(5)), strict=True):
        assert song["state"] == "judged"
        assert song["duration"] == 2
        for stem in TWO:
            scores = song["stems"][stem]
            assert scores["sdr"] == pytest.approx(expected, abs=0.4)
            assert scores["si_sdr"] == pytest.approx(expected, abs=0.4)
            assert scores["mixture_sdr"] == pytest.approx(0, abs=0.8)
            assert 2 < scores["oracle_sdr"] < 15
            assert scores["bsseval_sdr"] == pytest.approx(expected, abs=0.8)
            assert {f"bsseval_{name}" for name in ("sir", "sar", "isr")} < scores.keys()
    for stem in TWO:
        found = [song["stems"][stem]["sdr"] for song in report["songs"]]
        summary = report["summary"][stem]
        assert summary["songs"] == 2
        assert summary["sdr"]["median"] == pytest.approx(statistics.median(found), abs=1e-3)
        assert summary["sdr"]["mean"] == pytest.approx(statistics.fmean(found), abs=1e-3)
    assert report["model"] == {"name": "mine"}
    assert report["parameters"]["bsseval"] is True
    printed = capsys.readouterr().out
    assert "mine: 2 songs, 4.0 s of audio scored in" in printed
    assert re.search(r"^stem +songs +SDR +SI-SDR +mixture SDR .* BSS SDR .* BSS ISR$", printed, re.MULTILINE)
    assert re.search(r"^song 1 +accompaniment +1[34]\.\d\d", printed, re.MULTILINE)


def test_the_html_report_shows_boxplots_and_spectrograms_and_loads_nothing(
    tmp_path: Path, songs: tuple[Path, Path]
) -> None:
    page = tmp_path / "report.html"
    status, _ = evaluate(tmp_path, songs[0], "--estimates", songs[1], "--html", page)
    assert status == 0
    text = page.read_text()
    pictures = re.findall(r'<img alt="([^"]+)"[^>]* src="data:image/png;base64,([^"]+)"', text)
    both = [f"{stem}, {what}" for stem in sorted(TWO) for what in ("reference", "estimate")]
    assert [name for name, _ in pictures] == ["SDR over the songs", *both, *both]
    assert all(b64decode(data).startswith(b"\x89PNG") for _, data in pictures)
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    assert "<td>song 1" in text.replace(' class="name"', "")


def test_a_musdb_file_has_the_same_scores_as_a_directory_of_its_stems(tmp_path: Path) -> None:
    waveforms = {name: np.round(w * 2**15) / np.float32(2**15) for name, w in stems(*FOUR).items()}
    write_musdb(tmp_path / "musdb" / "A - B.stem.mp4", waveforms)
    write_song(tmp_path / "folder" / "A - B", waveforms)
    write_estimates(tmp_path / "estimates" / "A - B", waveforms, 0.1)
    found = [
        evaluate(tmp_path, tmp_path / form, "--estimates", tmp_path / "estimates")[1]["songs"][0]["stems"]
        for form in ("musdb", "folder")
    ]
    assert found[0].keys() == {*FOUR, "accompaniment"}
    for stem, scores in found[0].items():
        assert scores == pytest.approx(found[1][stem], abs=0.02), stem


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_configured(tmp_path)


def test_a_model_is_scored(tmp_path: Path, model: Path) -> None:
    write_song(tmp_path / "songs" / "song", stems(*FOUR))
    status, report = evaluate(tmp_path, model, tmp_path / "songs", "--bandwidth", "full")
    assert status == 0
    assert report["model"]["name"] == str(model)
    assert len(report["model"]["weights_sha256"]) == 64
    assert report["parameters"] == {
        "folder": str(tmp_path / "songs"),
        "quality": "official",
        "mwf": False,
        "bandwidth": "full",
        "bsseval": False,
    }
    assert set(report["songs"][0]["stems"]) == {"vocals", "drums", "other", "accompaniment"}


def test_details_are_scored(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_song(tmp_path / "songs" / "song", stems(*FOUR))
    options = make_parser().parse_args(
        ["evaluate", str(model), str(tmp_path / "songs"), "--quality", "best", "--details"]
    )
    assert options.run(options, Settings(tmp_path / "store")) == 0
    printed = capsys.readouterr().out
    bands = "0–250 Hz +250–2000 Hz +2–11 kHz +above 11 kHz"
    parts = "between +first ¼ s +last ¼ s +at -20 dB +at -30 dB +at -40 dB"
    assert re.search(f"^stem +songs +{bands} +{parts}$", printed, re.MULTILINE)
    assert re.search(f"^song +stem +{bands} +borders +{parts}$", printed, re.MULTILINE)
    assert re.search(r"^song +vocals( +(-?\d+\.\d\d|–)){11}$", printed, re.MULTILINE)


def test_the_flags_of_official_spleeter_score_musdb_and_keep_the_stems(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_song(tmp_path / "musdb" / "test" / "A - B", stems("vocals", "drums", samples=RATE))
    out = tmp_path / "out"
    flags = ["-p", model, "--mus_dir", tmp_path / "musdb", "-o", out, "--verbose"]
    options = make_parser().parse_args(["evaluate", *map(str, flags), "--json", "-"])
    assert options.run(options, Settings(tmp_path / "store")) == 0
    report = json.loads(capsys.readouterr().out)
    assert {path.stem for path in (out / "audio" / "test" / "A - B").iterdir()} == set(TINY.stems)
    targets = json.loads((out / "metrics" / "test" / "A - B.json").read_text())["targets"]
    for target in targets:
        (frame,) = target["frames"]
        score = report["songs"][0]["stems"][target["name"]]["bsseval_sdr"]
        assert frame["metrics"]["SDR"] == pytest.approx(score, abs=1e-3)
        assert frame["metrics"].keys() == {"SDR", "SIR", "ISR", "SAR"}
    assert [target["name"] for target in targets] == ["vocals", "drums"]
    _, again = evaluate(tmp_path, tmp_path / "musdb" / "test", "--estimates", out / "audio" / "test")
    for stem, scores in again["songs"][0]["stems"].items():
        assert scores["sdr"] == pytest.approx(report["songs"][0]["stems"][stem]["sdr"], abs=0.01)


def test_a_terminal_shows_progress(
    tmp_path: Path, songs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    evaluate(tmp_path, songs[0], "--estimates", songs[1])
    assert re.search(r"song 1: +50%\|", terminal.getvalue())


def test_the_other_songs_are_scored_after_one_fails(
    tmp_path: Path, songs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (songs[0] / "song 1" / "vocals.wav").unlink()
    write_song(songs[0] / "song 1", {"vocals": noise(RATE)})
    status, report = evaluate(tmp_path, songs[0], "--estimates", songs[1])
    assert status == SOME_FAILED
    assert report["songs"][1]["error"]["type"] == "StemLengthError"
    assert report["songs"][1]["error"]["status"] == StemLengthError.exit_status
    assert "song 1/vocals.wav lasts 1.000 s, but the mixture lasts 2.000 s" in capsys.readouterr().err


def test_each_reason_why_nothing_can_be_scored_has_its_own_status(
    tmp_path: Path, songs: tuple[Path, Path]
) -> None:
    assert evaluate(tmp_path, songs[0], "--estimates", tmp_path)[0] == MissingEstimateError.exit_status
    write_song(tmp_path / "drums" / "song 0", stems("drums", samples=2 * RATE))
    status, _ = evaluate(tmp_path, tmp_path / "drums", "--estimates", tmp_path / "vocals")
    assert status == MissingEstimateError.exit_status
    write_song(tmp_path / "vocals" / "song 0", stems("vocals", samples=2 * RATE))
    status, _ = evaluate(tmp_path, tmp_path / "drums", "--estimates", tmp_path / "vocals")
    assert status == UnknownStemError.exit_status
    with pytest.raises(ConfigurationError, match="No model is named"):
        evaluate(tmp_path, songs[0])
    with pytest.raises(ConfigurationError, match="No directory of songs"):
        evaluate(tmp_path, "--estimates", songs[1])
    with pytest.raises(ConfigurationError, match="separate has it"):
        evaluate(
            tmp_path,
            songs[0],
            "--estimates",
            songs[1],
            "-a",
            "tests.integration.compat.test_separator.Recorder",
        )
    with pytest.raises(ConfigurationError, match="--quality, --mwf and --bandwidth"):
        evaluate(tmp_path, songs[0], "--estimates", songs[1], "--mwf")


def test_a_song_whose_stems_do_not_sum_to_its_mixture_is_noted(
    tmp_path: Path, songs: tuple[Path, Path]
) -> None:
    other = noise(2 * RATE, seed=99)
    write_song(songs[0] / "song 0", {"mixture": other})
    _, report = evaluate(tmp_path, songs[0], "--estimates", songs[1])
    (note,) = report["songs"][0]["notes"]
    assert "the stems do not sum to the mixture" in note
    assert report["songs"][1]["notes"] == []
