"""Drum kits of recorded samples (Debian packages ``hydrogen-drumkits``, ``hydrogen-data`` and others)."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from research.lite.cast import Cast
from research.lite.score import Note
from research.lite.soundfonts import SAMPLE_RATE, Waveform
from spleeter_microservice.audio.reader import AudioReader

FOLDER = Path("/usr/share/hydrogen/data/drumkits")
HELD_OUT = "BJA_Pacific"
"""Never trained on. Licence: CC-BY-SA-3.0-US."""

TRAINED = {
    "Audiophob": "CC0",
    "ColomboAcousticDrumkit": "GPL-2+ with composition exception",
    "ElectricEmpireKit": "GPL-2+",
    "ForzeeStereo": "GPL-2",
    "HardElectro1": "GPL-2+",
    "Millo-Drums_v.1": "GPL-2",
    "Millo_MultiLayered2": "GPL-2",
    "Millo_MultiLayered3": "GPL-2",
    "The Black Pearl 1.0": "GPL-2",
    "VariBreaks": "GPL-2+",
}
"""Kits by name, with their licences."""

_WEIGHTS = (1, 2, 1, 4, 1, 2, 2, 2, 3, 1)

SECOND = {
    "GMRockKit": "GPL-2+",
    "TR808EmulationKit": "GPL-2+",
    "/usr/share/lmms/samples/drums": "GPL-2+",
    "/usr/share/sonic-pi/samples": "CC0",
}
"""Kits of the second cast; the paths are folders of single samples, without a list of instruments."""

_SECOND_WEIGHTS = (4, 1, 5, 1)
_NOT_A_SOUND = "kick04.ogg"
"""A sample of LMMS that PyAV cannot decode."""

# Patterns of instrument or sample names.
_WORDS = {
    "kick": r"kick|bass ?drum|^bd_",
    "stick": r"stick|rim ?click|click",
    "snare": r"snare(?!.*roll)|^sn_",
    "clap": r"clap",
    "closed": r"(closed|cl\b|hat low|hat ring)",
    "pedal": r"pedal|\bpd\b",
    "open": r"(?<!semi)(open|\bop\b|ohh)",
    "low tom": r"tom.*(low|floor)|(low|floor).*tom|tomhi4|drum 1",
    "mid tom": r"tom.*(mid|2)|tom\b|conga 1",
    "high tom": r"tom.*(hi|1)|tom\b|drum 2|conga 2",
    "crash": r"crash|splash|china",
    "ride": r"ride",
    "bell": r"bell|cup|cowbell",
}
# Pitches of General MIDI.
_PITCHES = {
    "kick": (35, 36),
    "stick": (37, 75, 76, 77),
    "snare": (38, 40),
    "clap": (39,),
    "closed": (42, 69, 70, 82),
    "pedal": (44, 54),
    "open": (46,),
    "low tom": (41, 43, 61, 64),
    "mid tom": (45, 47, 63),
    "high tom": (48, 50, 60, 62),
    "crash": (49, 52, 55, 57),
    "ride": (51, 59),
    "bell": (53, 56),
}
# Replacements of instruments that a kit lacks.
_INSTEAD = {
    "stick": "snare",
    "clap": "snare",
    "pedal": "closed",
    "open": "closed",
    "low tom": "mid tom",
    "mid tom": "high tom",
    "high tom": "snare",
    "crash": "open",
    "ride": "closed",
    "bell": "ride",
}


@dataclass(frozen=True)
class Layer:
    """A sample for velocities up to ``up_to``, from 0 to 1."""

    path: Path
    up_to: float


def choose(rng: random.Random, cast: Cast) -> str:
    """Choose a kit for a cast."""
    if cast is Cast.HELD_OUT:
        return HELD_OUT
    if cast is Cast.SECOND:
        return rng.choices(list(SECOND), _SECOND_WEIGHTS)[0]
    return rng.choices(list(TRAINED), _WEIGHTS)[0]


def play(rng: random.Random, notes: Sequence[Note], kit: str, seconds: float) -> Waveform:
    """Play the drums of a piece, with a random tuning, position and level of each instrument.

    Returns:
        Waveform, shape (samples, 2).

    Raises:
        FileNotFoundError: if the kit is not installed.
    """
    instruments = _instruments(kit)
    out = np.zeros((round(seconds * SAMPLE_RATE), 2), np.float32)
    settings: dict[str, tuple[float, float, float, int]] = {}
    for note in sorted(notes, key=lambda note: note.start):
        name = _instrument(instruments, note.pitch)
        begin = round(note.start * SAMPLE_RATE)
        if name is None or begin >= len(out):
            continue
        if name not in settings:
            pan = rng.gauss(0, 0.1 if name in {"kick", "snare"} else 0.3)
            tuning = 2 ** (rng.gauss(0, 0.8) / 12)
            settings[name] = (
                tuning,
                pan,
                10 ** (rng.gauss(0, 2) / 20),
                rng.randrange(len(instruments[name])),
            )
        tuning, pan, gain, which = settings[name]
        hit = _sample(_layer(instruments[name][which], note.velocity / 127), round(tuning, 2))
        level = gain * (note.velocity / 127) ** 1.5 * 0.5
        piece = hit[: len(out) - begin]
        out[begin : begin + len(piece)] += (
            piece * np.float32(level) * np.array([1 - pan, 1 + pan], np.float32)
        )
    return out


def _instrument(instruments: dict[str, list[list[Layer]]], pitch: int) -> str | None:
    name = next((name for name, pitches in _PITCHES.items() if pitch in pitches), None)
    while name is not None and name not in instruments:
        name = _INSTEAD.get(name)
    return name


@lru_cache(maxsize=16)
def _instruments(kit: str) -> dict[str, list[list[Layer]]]:
    """Return the kit's instruments of each kind, each as its layers, softest first."""
    found = {}
    listed = _listed(FOLDER / kit)
    for name, words in _WORDS.items():
        fitting = [layers for label, layers in listed if layers and re.search(words, label)]
        if fitting:
            found[name] = fitting
    return found


def _listed(folder: Path) -> list[tuple[str, list[Layer]]]:
    """Return the name and the layers of each instrument."""
    index = folder / "drumkit.xml"
    if not index.exists():
        samples = sorted(path for path in folder.iterdir() if path.suffix in {".ogg", ".flac"})
        return [(path.stem, [Layer(path, 1.0)]) for path in samples if path.name != _NOT_A_SOUND]
    return [
        (element.findtext("{*}name", "").lower(), _layers(folder, element))
        for element in ElementTree.parse(index).iterfind(".//{*}instrument")  # from Debian
    ]


def _layers(folder: Path, element: ElementTree.Element) -> list[Layer]:
    layers = []
    for layer in element.iterfind(".//{*}layer"):
        path = folder / layer.findtext("{*}filename", "")
        if path.is_file():
            layers.append(Layer(path, float(layer.findtext("{*}max", "1"))))
    path = folder / element.findtext("{*}filename", "")
    if not layers and path.is_file():
        layers.append(Layer(path, 1.0))
    return sorted(layers, key=lambda layer: layer.up_to)


def _layer(layers: Sequence[Layer], velocity: float) -> Path:
    return next((layer.path for layer in layers if velocity <= layer.up_to), layers[-1].path)


@lru_cache(maxsize=512)
def _sample(path: Path, speed: float) -> Waveform:
    """Read up to four seconds of a sample, played at the given speed, shape (samples, 2)."""
    with AudioReader(path, sample_rate=SAMPLE_RATE) as reader:
        samples = np.concatenate(list(reader.blocks(1 << 16)))[: 4 * SAMPLE_RATE]
    at = np.arange(0, len(samples) - 1, speed)
    return np.stack([np.interp(at, np.arange(len(samples)), channel) for channel in samples.T], 1).astype(
        np.float32
    )
