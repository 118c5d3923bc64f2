"""Compare stems and checkpoints with those of official Spleeter: ``python -m bench.reference FOLDER``.

The folder has ``mix.flac``; official Spleeter's stems of it in ``outputs/NAME/``, where the name is that of
a 2-stem model (``-16kHz`` for its wider bandwidth, ``-mwf`` for the Wiener filter) or of a checkpoint;
these checkpoints in ``checkpoints/NAME/``; and the indexes of Deezer's in ``official-index/NAME/``.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np

from bench.tables import row
from spleeter_microservice.arrays import Waveform
from spleeter_microservice.audio.reader import AudioReader
from spleeter_microservice.library import Separator
from spleeter_microservice.models.catalogue import CATALOGUE
from spleeter_microservice.models.installer import architecture_of
from spleeter_microservice.models.tensorflow.checkpoint_reader import read_index
from spleeter_microservice.settings import Settings

_RATIO_MASKS, _WIENER = -60.0, -40.0  # dB relative to the stem; about −100 for both were measured
_FLOAT32 = 1  # TensorFlow's number of the type


def read(path: Path) -> Waveform:
    """Read a whole file; shape (samples, 2)."""
    with AudioReader(path) as reader:
        return np.concatenate(list(reader.blocks(1 << 16)))


def difference(found: Waveform, expected: Waveform) -> float:
    """Return the energy of the difference, in dB relative to the expected waveform."""
    error = np.square(found.astype(np.float64) - expected).sum()
    return float(10 * np.log10(error / np.square(expected, dtype=np.float64).sum()))


def compare_stems(folder: Path, settings: Settings) -> bool:
    """Separate the mix with each model and print how far the stems are from the official ones."""
    mix, equal = read(folder / "mix.flac"), True
    row("stem", "difference dB")
    for outputs in sorted((folder / "outputs").iterdir()):
        name, mwf = outputs.name.removesuffix("-mwf"), outputs.name.endswith("-mwf")
        configuration = folder / "checkpoints" / name / "config.json"
        model = str(configuration) if configuration.exists() else f"spleeter:{name}"
        with Separator(model, mwf, settings=settings) as separator:
            stems = separator.separate(mix)
        for stem, found in stems.items():
            level = difference(found, read(outputs / f"{stem}.flac"))
            row(f"{outputs.name} {stem}", f"{level:.1f}")
            equal &= level < (_WIENER if mwf else _RATIO_MASKS)
    return equal


def compare_indexes(folder: Path) -> bool:
    """Print whether the variables of each architecture are those of Deezer's checkpoint, without gaps."""
    equal = True
    for index in sorted((folder / "official-index").iterdir()):
        entry, offset, shapes = CATALOGUE.resolve(index.name).entry, 0, {}
        for name, tensor in read_index(index / "model.index").items():
            equal &= tensor.offset == offset
            offset += tensor.size
            if name != "global_step":
                shapes[name] = tensor.shape
                equal &= tensor.dtype == _FLOAT32
        equal &= offset == entry.size and shapes == architecture_of(entry).variables()
        print(f"index of {index.name}: {len(shapes)} variables, {offset} bytes")
    return equal


def main() -> int:
    """Compare all; return 1 if anything differs by more than rounding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="official Spleeter's stems and checkpoints")
    folder = parser.parse_args().folder
    settings = Settings.from_environment(os.environ)
    equal = all([compare_stems(folder, settings), compare_indexes(folder)])
    print("equal" if equal else "DIFFERENT")
    return 0 if equal else 1


if __name__ == "__main__":
    raise SystemExit(main())
