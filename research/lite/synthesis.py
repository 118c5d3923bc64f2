"""Synthesis of pieces of music as stems, the data that the built-in models are trained on."""

from __future__ import annotations

import hashlib
import json
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from research.lite import additive, kits, mma, patterns, sampler, singing, soundfonts
from research.lite.cast import Cast
from research.lite.score import Note, Stem, by_stem
from research.lite.soundfonts import SAMPLE_RATE, Waveform

INDEX = "tracks.jsonl"
VOICES, HELD_OUT_VOICES = "voice-*.i16", "held-out-voice-*.i16"
"""Names of the files of voices, which contain 16-bit samples like those of tracks."""
SECONDS = 36.0
"""Length of each piece."""

_SILENT = 1e-3  # peak below which a stem counts as silent; full scale is 1
_OTHERS = [
    *range(8, 15),
    *range(16, 32),
    40,
    41,
    42,
    *range(44, 47),
    *range(48, 55),
    *range(56, 97),
    *range(104, 112),
]
_BASSES = (32, 33, 33, 34, 34, 35, 36, 37, 38, 39)
_PIANOS = (0, 0, 0, 1, 1, 2, 3, 4, 5)
_GUITARS = frozenset(range(24, 32))
_SYNTHESISERS = frozenset([38, 39, 50, 51, *range(80, 96)])


@dataclass(frozen=True)
class Track:
    """One stem of one piece; ``file`` contains 16-bit samples of shape (samples, 2).

    ``rms`` is the root mean square of the samples above a twentieth of full scale, which is 1. ``source``
    names the sounds.
    """

    file: str
    stem: str
    piece: int
    validation: bool
    source: str
    samples: int
    rms: float
    sha256: str


def synthesise(
    folder: Path,
    pieces: Sequence[int],
    cast: Cast,
    seed: int,
    processes: int,
    seconds: float = SECONDS,
) -> Iterator[Track]:
    """Synthesise those pieces that a folder lacks.

    Args:
        folder: folder to add the files and the lines of the index to.
        pieces: numbers of the pieces; a piece depends only on its number, the cast and the seed.
        cast: sounds to play with; the held-out cast, for validation, has styles of its own.
        seed: seed of all random choices.
        processes: number of pieces to make at once.
        seconds: length of each piece.

    Yields:
        The tracks of the new pieces.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = {track.piece for track in tracks(folder)}
    make = partial(make_piece, folder, cast, seed, seconds=seconds)
    with ProcessPoolExecutor(processes) as pool, (folder / INDEX).open("a", encoding="utf-8") as index:
        for made in pool.map(make, [piece for piece in pieces if piece not in done]):
            for track in made:
                index.write(json.dumps(asdict(track)) + "\n")
            index.flush()
            yield from made


def tracks(folder: Path) -> list[Track]:
    """Return the tracks in a folder's index."""
    path = folder / INDEX
    if not path.exists():
        return []
    return [Track(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def make_piece(folder: Path, cast: Cast, seed: int, piece: int, seconds: float = SECONDS) -> list[Track]:
    """Compose and play a piece; return its tracks."""
    rng = random.Random(f"{seed}-{piece}")  # music, not secrets
    with tempfile.TemporaryDirectory() as work:
        notes = _composed(rng, cast is Cast.HELD_OUT, seconds, Path(work))
        made = []
        for stem, part in sorted(by_stem(notes).items()):
            waveform, source = _played(rng, stem, part, cast, seconds, Path(work))
            if np.abs(waveform).max() > _SILENT:
                made.append(_saved(folder, piece, stem, cast is Cast.HELD_OUT, source, waveform))
    return made


def _composed(rng: random.Random, held_out: bool, seconds: float, work: Path) -> list[Note]:
    notes: list[Note] = []
    while not notes:
        if rng.random() < 0.5:
            notes = mma.compose(rng, seconds - 1, held_out, work)
        else:
            notes = patterns.compose(rng, seconds - 1, held_out)
    return _reorchestrated(rng, notes)


def _reorchestrated(rng: random.Random, notes: Sequence[Note]) -> list[Note]:
    """Move some parts to random instruments, for variety, and some to the piano if a piece has none."""
    programs = {note.program: note.program for note in notes if note.program >= 0}
    for program in programs:
        stem = Note(program, 0, 0, 0, 0).stem
        if rng.random() < 0.4:
            programs[program] = rng.choice({"bass": _BASSES, "piano": _PIANOS}.get(stem, _OTHERS))
    others = [old for old, new in programs.items() if Note(new, 0, 0, 0, 0).stem == "other"]
    if len(others) > 1 and all(new >= 8 for new in programs.values()) and rng.random() < 0.6:
        programs[rng.choice(others)] = rng.choice(_PIANOS)
    return [replace(note, program=programs.get(note.program, -1)) for note in notes]


def _played(
    rng: random.Random, stem: Stem, notes: list[Note], cast: Cast, seconds: float, work: Path
) -> tuple[Waveform, str]:
    if stem == "drums" and rng.random() < 0.6:
        kit = kits.choose(rng, cast)
        return kits.play(rng, notes, kit, seconds), kit
    if cast is Cast.THIRD and stem in sampler.NOTES and rng.random() < 0.75:
        return sampler.play(rng, stem, notes, seconds)
    font = soundfonts.choose(rng, cast, stem == "drums")
    play = partial(soundfonts.play, font=font, seconds=seconds, work=work, reverb=rng.random() < 0.5)
    out, source = np.zeros((round(seconds * SAMPLE_RATE), 2), np.float32), font.name
    for group, effect in _groups(rng, stem, notes):
        if effect == "additive":
            patch = additive.Patch.bass(rng) if stem == "bass" else additive.Patch.pad(rng)
            out += additive.play(rng, group, patch, seconds)
            source += "+additive"
        elif effect == "amplifier":
            out += amplified(rng, play(group))
        else:
            out += play(group)
    return out, source


def _groups(rng: random.Random, stem: Stem, notes: list[Note]) -> Iterator[tuple[list[Note], str]]:
    """Yield groups of notes that are played together, each with its effect or an empty string."""
    if stem == "bass" and rng.random() < 0.15:
        yield notes, "amplifier"
        return
    amplifies, synthesises = rng.random() < 0.55, rng.random() < 0.55
    treated: dict[str, list[Note]] = {}
    for note in notes:
        effect = "amplifier" if amplifies and note.program in _GUITARS else ""
        effect = "additive" if synthesises and note.program in _SYNTHESISERS else effect
        treated.setdefault(effect, []).append(note)
    for effect, group in sorted(treated.items()):
        yield group, effect


def amplified(rng: random.Random, waveform: Waveform) -> Waveform:
    """Simulate a guitar amplifier and its speaker on a waveform of shape (samples, 2)."""
    peak = float(np.abs(waveform).max()) or 1.0
    driven = np.tanh(waveform / peak * rng.choice((3.0, 8.0, 20.0, 50.0)))
    hertz = np.fft.rfftfreq(len(driven), 1 / SAMPLE_RATE)[:, None]
    low, high = rng.uniform(60, 110), rng.uniform(3500, 6500)
    response = 1 / np.sqrt((1 + (low / np.maximum(hertz, 1)) ** 4) * (1 + (hertz / high) ** 8))
    spectrum = np.fft.rfft(driven, axis=0) * response
    return (np.fft.irfft(spectrum, len(driven), axis=0) * 0.3 * min(1.0, peak * 3)).astype(np.float32)


def _saved(folder: Path, piece: int, stem: Stem, validation: bool, source: str, waveform: Waveform) -> Track:
    peak = float(np.abs(waveform).max())
    scaled = waveform / peak * 0.9
    loud = scaled[np.abs(scaled).max(axis=1) > 0.05]
    samples = np.round(scaled * 32767).astype("<i2")
    name = f"{piece:05d}-{stem}.i16"
    samples.tofile(folder / name)
    digest = hashlib.sha256(samples.tobytes()).hexdigest()
    rms = float(np.sqrt(np.square(loud).mean()))
    return Track(name, stem, piece, validation, source, len(samples), round(rms, 5), digest)


def make_voices(folder: Path, count: int, seed: int) -> None:
    """Synthesise voices for training, a third of them additive, and some for validation.

    Args:
        folder: folder to write the files ``VOICES`` and ``HELD_OUT_VOICES`` to.
        count: number of voices for training, of ``SECONDS`` each; a tenth as many, rounded up, are held out.
        seed: seed of all random choices.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [(VOICES, number) for number in range(count)]
    wanted += [(HELD_OUT_VOICES, number) for number in range(-(-count // 10))]
    for kind, number in wanted:
        path = folder / kind.replace("*", f"{number:03d}")
        if not path.exists():
            rng = random.Random(f"{seed}-{path.stem}")
            waveform = _sung(rng, singing.HELD_OUT if kind == HELD_OUT_VOICES else singing.SPEAKERS, number)
            peak = float(np.abs(waveform).max())
            np.round(waveform / peak * 0.9 * 32767).astype("<i2").tofile(path)


def _sung(rng: random.Random, speakers: Mapping[str, float], number: int) -> Waveform:
    if speakers is singing.SPEAKERS and number % 3 == 0:
        return additive.sing(rng, SECONDS)
    speaker, pitch = list(speakers.items())[number % len(speakers)]
    with tempfile.TemporaryDirectory() as work:
        return singing.sing(rng, speaker, pitch, SECONDS, Path(work))
