"""SoundFonts, and FluidSynth and TiMidity++ that play them (Debian's ``fluidsynth``, ``timidity``)."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from research.lite.cast import Cast
from research.lite.score import Note, written

SAMPLE_RATE = 44100
Waveform = NDArray[np.float32]
"""Of shape (samples, 2), full scale being 1."""

_FOLDER = Path("/usr/share/sounds")


@dataclass(frozen=True)
class SoundFont:
    """A file of instruments; ``drums_only`` of those that hold nothing else.

    A ``.cfg`` lists patches of the Gravis Ultrasound, for TiMidity++.
    """

    name: str
    path: Path
    package: str
    licence: str
    weight: float = 1.0
    drums_only: bool = False


HELD_OUT = SoundFont("TimGM6mb", _FOLDER / "sf2/TimGM6mb.sf2", "timgm6mb-soundfont", "GPL-2")
"""Nothing is trained on it."""

TRAINED = (
    SoundFont("FluidR3", _FOLDER / "sf2/FluidR3_GM.sf2", "fluid-soundfont-gm", "MIT", 3),
    SoundFont(
        "MuseScore_General_Lite",
        _FOLDER / "sf3/MuseScore_General_Lite.sf3",
        "musescore-general-soundfont-small",
        "MIT, parts public domain and CC0",
        3,
    ),
    SoundFont("GMbank", _FOLDER / "sf2/sf_GMbank.sf2", "csound-soundfont", "public domain", 1.5),
    SoundFont("OPL-3_FM", _FOLDER / "sf2/OPL-3_FM_128M.sf2", "opl3-soundfont", "CC-BY-SA-4.0", 0.5),
    SoundFont(
        "Black_Pearl",
        _FOLDER / "sf2/Black_Pearl_4_LV2.sf2",
        "avldrums.lv2-soundfont",
        "CC-BY-SA-3.0",
        3,
        True,
    ),
    SoundFont(
        "Red_Zeppelin",
        _FOLDER / "sf2/Red_Zeppelin_4_LV2.sf2",
        "avldrums.lv2-soundfont",
        "CC-BY-SA-3.0",
        3,
        True,
    ),
)


SECOND = (
    SoundFont(
        "FreePats",
        Path("/etc/timidity/freepats.cfg"),
        "freepats",
        "GPL-2 with composition exception",
        8,
    ),
    *(replace(font, weight=1) for font in TRAINED if not font.drums_only),
)
"""Those of the second cast."""


def choose(rng: random.Random, cast: Cast, drums: bool) -> SoundFont:
    """Choose a SoundFont."""
    if cast is Cast.HELD_OUT:
        return HELD_OUT
    cast_fonts = SECOND if cast is Cast.SECOND else TRAINED
    fonts = [font for font in cast_fonts if drums or not font.drums_only]
    return rng.choices(fonts, [font.weight for font in fonts])[0]


def play(notes: Sequence[Note], font: SoundFont, seconds: float, work: Path, reverb: bool) -> Waveform:
    """Play notes.

    Args:
        notes: of one stem.
        font: to play them with.
        seconds: length of the result.
        work: folder for what is passed to the synthesiser and back.
        reverb: whether to let it add reverberation and chorus.

    Raises:
        FileNotFoundError: when the synthesiser is not installed.
        subprocess.CalledProcessError: when it fails, as without the SoundFont.
    """
    midi, raw = work / "stem.mid", work / "stem.raw"
    # Such fonts keep their drums where others have the piano.
    midi.write_bytes(written([replace(note, program=0) for note in notes] if font.drums_only else notes))
    command = _timidity if font.path.suffix == ".cfg" else _fluidsynth
    subprocess.run(command(font, midi, raw, reverb), check=True, capture_output=True, timeout=300)
    samples = _read(raw, font)[: round(seconds * SAMPLE_RATE)]
    raw.unlink()
    return np.pad(samples, ((0, round(seconds * SAMPLE_RATE) - len(samples)), (0, 0))).astype(np.float32)


def _fluidsynth(font: SoundFont, midi: Path, raw: Path, reverb: bool) -> Sequence[str]:
    effects = "1" if reverb else "0"
    return (
        *("fluidsynth", "-ni", "-q", "-g", "0.4", "-r", str(SAMPLE_RATE), "-R", effects, "-C", effects),
        *("-o", "synth.dynamic-sample-loading=1", "-O", "float", "-T", "raw", "-E", "little"),
        *("-F", str(raw), str(font.path), str(midi)),
    )


def _timidity(font: SoundFont, midi: Path, raw: Path, reverb: bool) -> Sequence[str]:
    effects = "1" if reverb else "0"
    return (
        *("timidity", "-c", str(font.path), "-Or1sl", "-s", str(SAMPLE_RATE), "-A", "50"),
        *(f"-EFreverb={effects}", f"-EFchorus={effects}", "-o", str(raw), str(midi)),
    )


def _read(raw: Path, font: SoundFont) -> Waveform:
    if font.path.suffix == ".cfg":
        return np.fromfile(raw, "<i2").reshape(-1, 2).astype(np.float32) / np.float32(32768)
    return np.fromfile(raw, "<f4").reshape(-1, 2)
