"""Fit the estimate of each stem's quality, and test it on songs that it was not fitted to.

The folder has one folder per song, with mixture.flac and one file per stem: vocals and accompaniment, or
vocals, drums, bass and other; the vocals may be missing. Remixes of their parts are added.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.audio.reader import AudioReader
from spleeter_microservice.models.provide import find_model
from spleeter_microservice.models.store import ModelStore
from spleeter_microservice.separation.measurements import FAIR, GOOD
from spleeter_microservice.separation.options import SeparationOptions
from spleeter_microservice.separation.separator import StemSeparator, load_separator
from spleeter_microservice.settings import Settings

Floats = NDArray[np.float64]
Parts = Mapping[str, Floats]

_REMIX = 12 * 44_100 - 4096  # samples, one segment of the networks
_MODELS = {"2stems": 70, "4stems-lite": 60}  # and the number of remixes
_FOUR = ("drums", "bass", "other")


@dataclass(frozen=True)
class Example:
    """One stem of one separation: the ratio that the masks lead to expect, and the true SDR, in dB."""

    songs: frozenset[str]
    kind: str
    ratio: float
    sdr: float


def read_song(folder: Path) -> dict[str, Floats]:
    """Return the tracks of a song, shape (samples, 2), with its accompaniment."""
    tracks = {}
    for path in folder.glob("*.flac"):
        with AudioReader(path) as reader:
            tracks[path.stem] = np.concatenate(list(reader.blocks(1 << 16))).astype(float)
    parts = [track for name, track in tracks.items() if name not in ("vocals", "mixture")]
    return {"accompaniment": sum_of(parts)} | tracks


def sum_of(tracks: Sequence[Floats]) -> Floats:
    """Return the sum of tracks."""
    total: Floats = np.add.reduce(tracks)
    return total


def _gain(decibels: float) -> float:
    return float(10 ** (decibels / 20))


def _rms(samples: Floats) -> float:
    return float(np.sqrt(np.square(samples).mean() + 1e-12))


def remixes(songs: Mapping[str, Parts], count: int, four: bool) -> Iterator[tuple[frozenset[str], Parts]]:
    """Yield the voice of one song over the accompaniment of another, at random levels."""
    random = np.random.default_rng(count)
    voices = [name for name in songs if "vocals" in songs[name]]
    others = [name for name in songs if not four or "drums" in songs[name]]
    for _ in range(count):
        voice, other = str(random.choice(voices)), str(random.choice(others))
        lengths = [len(songs[voice]["vocals"]), len(songs[other]["accompaniment"])]
        length = min(_REMIX, *lengths)
        starts = [random.integers(each - length + 1) for each in lengths]
        vocals = songs[voice]["vocals"][starts[0] :][:length]
        names = _FOUR if four else ("accompaniment",)
        parts = {name: songs[other][name][starts[1] :][:length] for name in names}
        if four:
            parts = {name: part * _gain(random.normal(0, 4)) for name, part in parts.items()}
            parts["accompaniment"] = sum_of(list(parts.values()))
        accompaniment = parts["accompaniment"]
        loudness = 0.0 if random.random() < 0.1 else _gain(random.normal(-2, 6))
        vocals = vocals * loudness * _rms(accompaniment) / _rms(vocals)
        gain = _gain(random.normal(-19, 6)) / _rms(vocals + accompaniment)
        tracks = parts | {"vocals": vocals, "mixture": vocals + accompaniment}
        yield frozenset({voice, other}), {name: gain * track for name, track in tracks.items()}


def examples(separator: StemSeparator, songs: frozenset[str], kind: str, tracks: Parts) -> Iterator[Example]:
    """Separate a mix and yield its stems that have a reference."""
    mix = tracks["mixture"].astype(np.float32)
    blocks = list(separator.separate_blocks(lambda: [mix], SeparationOptions()))
    expected = np.sum([block.expected for block in blocks], axis=0)
    for i, name in enumerate(separator.stems):
        if name in tracks and tracks[name].any():
            stem = np.concatenate([block.stems[i] for block in blocks], axis=1).T
            error = np.square(tracks[name] - stem).sum()
            sdr = 10 * np.log10(np.square(tracks[name]).sum() / error)
            ratio = 10 * np.log10(expected[i, 0] / expected[i, 1])
            yield Example(songs, f"{kind} {name}", float(ratio), float(sdr))


def fitted(some: Sequence[Example]) -> tuple[float, float]:
    """Return offset and slope of the line from ratio to SDR; extreme SDRs count as −10 and 25 dB."""
    slope, offset = np.polyfit(
        [each.ratio for each in some], [np.clip(each.sdr, -10, 25) for each in some], 1
    )
    return float(offset), float(slope)


def predicted(some: Sequence[Example], each: Example) -> float:
    """Return the estimate for an example by a line that was fitted without its songs."""
    offset, slope = fitted([other for other in some if not other.songs & each.songs])
    return offset + slope * each.ratio


def report(title: str, true: Floats, estimates: Floats) -> None:
    """Print how well the estimates fit."""
    ranks = [np.argsort(np.argsort(values)) for values in (true, estimates)]
    rho, error = np.corrcoef(ranks[0], ranks[1])[0, 1], np.median(np.abs(true - estimates))
    words = [np.digitize(values, (FAIR, GOOD)) for values in (true, estimates)]
    right, far = np.count_nonzero(words[0] == words[1]), np.count_nonzero(np.abs(words[0] - words[1]) > 1)
    print(f"{title:32}{len(true):4} stems, rank correlation {rho:.2f}, median error {error:.1f} dB, ", end="")
    print(f"{right} words right, {far} off by two")


def main() -> None:
    """Separate everything and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    store = ModelStore(Settings.from_environment(os.environ).models_dir)
    songs = {path.name: read_song(path) for path in sorted(folder.iterdir()) if path.is_dir()}
    found: list[Example] = []
    for model, count in _MODELS.items():
        with closing(load_separator(find_model(model, store).files)) as separator:
            for name, song in songs.items():
                found += examples(separator, frozenset({name}), f"real {model}", song)
            for names, remix in remixes(songs, count, four=model.startswith("4")):
                found += examples(separator, names, f"remix {model}", remix)
    print("offset {:.2f} dB, slope {:.3f}".format(*fitted(found)))
    true = np.array([each.sdr for each in found])
    estimates = np.array([predicted(found, each) for each in found])
    for kind in sorted({part for each in found for part in (each.kind, each.kind.split()[0])}):
        some = [each.kind.startswith(kind) for each in found]
        report(kind, true[some], estimates[some])


if __name__ == "__main__":
    main()
