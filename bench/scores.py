"""Evaluate the 2-stem model on real music: ``python -m bench.scores FOLDER``.

The folder has one directory of stems for each excerpt, and a ``README.md`` with the scores of official
Spleeter: after the words "Official Spleeter", the start of an excerpt's name and the SDRs of vocals and
accompaniment (``musdb_Falcon69 4.61 / 12.02``).
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.tables import row

_TOLERANCE = 0.05  # dB
_STEMS = ("vocals", "accompaniment")

Scores = dict[str, dict[str, float]]


def published(folder: Path) -> dict[str, tuple[float, ...]]:
    """Return official Spleeter's SDRs in dB by the start of the excerpt's name."""
    text = (folder / "README.md").read_text(encoding="utf-8").partition("Official Spleeter")[2]
    found = re.findall(r"(\w+) (-?[\d.]+\d) / (-?[\d.]+\d)", text)
    return {name: (float(vocals), float(accompaniment)) for name, vocals, accompaniment in found}


def evaluate(folder: Path, *options: str) -> Scores:
    """Return our SDRs in dB by excerpt and stem, and print the speed."""
    with tempfile.TemporaryDirectory() as place:
        report = Path(place) / "report.json"
        command = [sys.executable, "-m", "spleeter_microservice", "evaluate", "2stems", str(folder)]
        subprocess.run([*command, *options, "--json", report], check=True, stdout=subprocess.DEVNULL)
        content = json.loads(report.read_text(encoding="utf-8"))
    print(f"{content['duration']:.0f} s of audio evaluated in {content['elapsed']:.1f} s")
    return {
        song["song"]: {stem: scores["sdr"] for stem, scores in song["stems"].items()}
        for song in content["songs"]
    }


def main() -> int:
    """Print the scores; return 1 if one is not the published one, or lower with full bandwidth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="excerpts with their stems, and the published scores")
    folder = parser.parse_args().folder
    usual, full = evaluate(folder), evaluate(folder, "--bandwidth", "full")
    equal = True
    row("SDR dB", "published", "ours", "full bandwidth")
    for start, expected in published(folder).items():
        (name,) = (name for name in usual if name.startswith(start))
        for stem, sdr in zip(_STEMS, expected, strict=True):
            ours, wide = usual[name][stem], full[name][stem]
            row(f"{start[:20]} {stem[:5]}", f"{sdr:.2f}", f"{ours:.2f}", f"{wide:.2f}")
            equal &= abs(ours - sdr) < _TOLERANCE and wide > ours - 0.005
    print("equal" if equal else "DIFFERENT")
    return 0 if equal else 1


if __name__ == "__main__":
    raise SystemExit(main())
