"""Pieces composed by MMA, which plays accompaniments in many styles (Debian package ``mma``)."""

from __future__ import annotations

import random
import re
import subprocess
from functools import cache
from pathlib import Path

from research.lite.score import Note, read

STYLES = Path("/usr/share/mma/lib/stdlib")
HELD_OUT = frozenset(
    [
        "60srock",
        "ballad",
        "bossanova",
        "countryswing",
        "dsoul",
        "folkrock",
        "jazzrock",
        "mambo",
        "popballad",
        "rb",
        "ska",
        "softrock",
    ]
)
"""Files of styles that are never trained on."""

_SKIPPED = frozenset(
    [
        "none",
        "metronome",
        "metronome3",
        "metronome6",
        "metronome68",
        "march",
        "bwmarch",
        "polka",
    ]
)
_OTHER_METRES = ("68", "128", "54", "waltz")  # in a file's name: these styles do not have four beats in a bar
_ENDS = re.compile(r"(Intro|End|Fill|Walk)\d*$")

_PROGRESSIONS = (
    "1 5 6m 4", "1 6m 4 5", "6m 4 1 5", "1 4 5 5", "2m 57 1M7 6m", "1 4 1 5", "6m 5 4 5", "1 b7 4 1",
    "6m 2m 5 1", "1 3m 4 5", "17 47 17 57", "6m 6m 4 5", "4 5 3m 6m", "1 5 4 4m", "6m7 2m7 57 1M7",
)  # fmt: skip
_SCALE = {"1": 0, "2": 2, "3": 4, "4": 5, "5": 7, "6": 9, "b7": 10}
_NAMES = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")


@cache
def grooves(held_out: bool) -> tuple[str, ...]:
    """Return the names of the grooves in four beats, of the held-out styles or of all others."""
    found = []
    for path in sorted(STYLES.glob("*.mma")):
        name = path.stem
        if name in _SKIPPED or any(word in name for word in _OTHER_METRES):
            continue
        if (name in HELD_OUT) == held_out:
            defined = re.findall(r"^DefGroove\s+(\S+)", path.read_text(encoding="latin-1"), re.MULTILINE)
            found += [groove for groove in defined if not _ENDS.search(groove)]
    return tuple(found)


def chords(rng: random.Random, key: int) -> list[str]:
    """Choose a progression, and return the names of its chords in a key (semitones above C)."""
    names = []
    for degree in rng.choice(_PROGRESSIONS).split():
        match = re.fullmatch(r"(b7|[1-6])(.*)", degree)
        assert match
        names.append(_NAMES[(_SCALE[match[1]] + key) % 12] + match[2])
    return names


def compose(rng: random.Random, seconds: float, held_out: bool, work: Path) -> list[Note]:
    """Compose about ``seconds`` of music with MMA, in a random groove, key and tempo.

    Returns:
        The notes, or an empty list if MMA refuses the groove.

    Raises:
        FileNotFoundError: if MMA is not installed.
    """
    tempo, groove = rng.randint(70, 165), rng.choice(grooves(held_out))
    key = rng.randrange(12)
    bars = int(seconds * tempo / 240) + 1
    lines = [f"RndSeed {rng.randrange(1 << 30)}", f"Tempo {tempo}", f"Groove {groove}"]
    progression = chords(rng, key)
    for bar in range(bars):
        if bar and bar % 8 == 0:
            progression = chords(rng, key)
        lines.append(f"{bar + 1} {progression[bar % len(progression)]}")
    source, target = work / "song.mma", work / "song.mid"
    source.write_text("\n".join(lines) + "\n", encoding="ascii")
    target.unlink(missing_ok=True)
    subprocess.run(["mma", source, "-f", target], check=False, capture_output=True, timeout=60)
    return read(target.read_bytes()) if target.exists() else []
