"""SoundFonts, played by FluidSynth or TiMidity++ (Debian packages ``fluidsynth`` and ``timidity``)."""

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
"""Samples, full scale being 1; shape (samples, 2)."""

_FOLDER = Path("/usr/share/sounds")


@dataclass(frozen=True)
class SoundFont:
    """A file of instruments; ``drums_only`` marks those that contain nothing else.

    A ``.cfg`` file lists Gravis Ultrasound patches for TiMidity++.
    """

    name: str
    path: Path
    package: str
    licence: str
    weight: float = 1.0
    drums_only: bool = False


HELD_OUT = SoundFont("TimGM6mb", _FOLDER / "sf2/TimGM6mb.sf2", "timgm6mb-soundfont", "GPL-2")
"""Never trained on."""

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
"""SoundFonts of the second cast."""


def choose(rng: random.Random, cast: Cast, drums: bool) -> SoundFont:
    """Choose a SoundFont for a cast."""
    if cast is Cast.HELD_OUT:
        return HELD_OUT
    cast_fonts = SECOND if cast is Cast.SECOND else TRAINED
    fonts = [font for font in cast_fonts if drums or not font.drums_only]
    return rng.choices(fonts, [font.weight for font in fonts])[0]


def play(notes: Sequence[Note], font: SoundFont, seconds: float, work: Path, reverb: bool) -> Waveform:
    """Play notes with a SoundFont.

    Args:
        notes: notes of one stem.
        font: SoundFont to play them with.
        seconds: length of the result.
        work: folder for temporary files.
        reverb: whether to add the synthesiser's reverberation and chorus.

    Raises:
        FileNotFoundError: if the synthesiser is not installed.
        subprocess.CalledProcessError: if the synthesiser fails, for example without the SoundFont.
    """
    midi, raw = work / "stem.mid", work / "stem.raw"
    # In a font of drums only, the kit is program 0, which is the piano elsewhere.
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
