"""Songs to measure with, made from the example song."""

from pathlib import Path

import numpy as np

from spleeter_microservice.separation.audio import AudioReader, AudioWriter, OutputFormat


def looped(example: Path, seconds: float, path: Path) -> Path:
    """Repeat a song up to a length and write it as 16-bit WAV.

    The copies differ in gain, so that no stage can profit from seeing the same samples.
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
