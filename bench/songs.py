"""Songs for the benchmarks, made from the example song."""

from pathlib import Path

import numpy as np

from spleeter_microservice.audio.output_format import OutputFormat
from spleeter_microservice.audio.reader import AudioReader
from spleeter_microservice.audio.writer import AudioWriter


def looped(example: Path, seconds: float, path: Path) -> Path:
    """Repeat a song until it has this length, and write it as 16-bit WAV.

    The copies differ in gain, so that no stage benefits from seeing the same samples again.
    """
    with AudioReader(example) as reader:
        once = np.concatenate(list(reader.blocks(1 << 16)))
    left = round(seconds * 44100)
    with AudioWriter(path, OutputFormat("wav")) as writer:
        for repetition in range(-(-left // len(once))):
            gain = np.float32(1 - 0.3 * (repetition % 3))
            writer.write(once[: min(left, len(once))] * gain)
            left -= min(left, len(once))
        writer.finish()
        writer.commit()
    return path


def difference(expected: Path, found: Path) -> float:
    """Return the energy of the difference of two files, in dB relative to the expected one.

    Raises:
        ValueError: if the files differ in length.
    """
    error = energy = 0.0
    with AudioReader(expected) as one, AudioReader(found) as other:
        for a, b in zip(one.blocks(1 << 16), other.blocks(1 << 16), strict=True):
            error += float(np.square(a.astype(np.float64) - b).sum())
            energy += float(np.square(a.astype(np.float64)).sum())
    return float(10 * np.log10(error / energy))
