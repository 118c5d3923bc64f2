"""Numbers of the evaluation equal those published for official Spleeter, in shared/eval/README.md."""

import json
import os
import pty
import re
import resource
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from spleeter_microservice.settings import Settings
from tests.support.shared import shared

TOLERANCE = 0.05
"""In dB."""

pytestmark = pytest.mark.timeout(300)  # three minutes of audio, on a machine that may be busy


def published() -> dict[str, tuple[float, float]]:
    """Give the SDR of vocals and accompaniment for each excerpt, by the start of its name."""
    text = shared("eval", "README.md").read_text(encoding="utf-8").partition("Official Spleeter")[2]
    found = re.findall(r"(\w+) (-?[\d.]+\d) / (-?[\d.]+\d)", text)
    return {name: (float(vocals), float(accompaniment)) for name, vocals, accompaniment in found}


def processor_time() -> float:
    """Seconds that ended processes of this one have computed."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@pytest.fixture(scope="module")
def report(model_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, float]:
    """Evaluate the 2-stem model on a terminal; give the JSON, what was drawn, and the seconds of cores."""
    shared()
    path = tmp_path_factory.mktemp("evaluation") / "report.json"
    before = processor_time()
    words = ("evaluate", "2stems", str(shared("eval")), "--json", str(path))
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    process = subprocess.Popen(
        [sys.executable, "-m", "spleeter_microservice", *words],
        env=os.environ | {"SPLEETER_MODELS_DIR": str(model_settings.models_dir)},
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    drawn = b""
    try:
        while piece := os.read(ours, 4096):
            drawn += piece
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert process.wait(timeout=200) == 0, drawn
    after = processor_time()
    return path, drawn, after - before


def test_numbers_are_the_published_ones(report: tuple[Path, bytes, float]) -> None:
    songs = {song["song"]: song["stems"] for song in json.loads(report[0].read_text())["songs"]}
    assert len(published()) == 6
    for start, expected in published().items():
        (name,) = (name for name in songs if name.startswith(start))
        for stem, sdr in zip(("vocals", "accompaniment"), expected, strict=True):
            assert songs[name][stem]["sdr"] == pytest.approx(sdr, abs=TOLERANCE), (name, stem)


def test_a_bar_shows_how_far_it_is(report: tuple[Path, bytes, float]) -> None:
    text = report[1].decode()
    assert re.search(r"cmt_JohnMcKay_1: +\d+%\|", text)
    assert re.search(r"wp_stems30: +(9\d|100)%\|", text)


def test_two_cores_judge_five_times_faster_than_real_time(report: tuple[Path, bytes, float]) -> None:
    """Measured by processor time, which other programs change little; 10 times for each core is usual."""
    seconds = json.loads(report[0].read_text())["duration"]
    assert seconds / (report[2] / 2) > 5
