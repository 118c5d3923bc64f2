"""The default audio adapter, under the name of official Spleeter's, which runs the program ffmpeg."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.audio.codecs import DEFAULT_BITRATE
from spleeter_microservice.audio.output_format import OutputFormat
from spleeter_microservice.audio.reader import AudioReader
from spleeter_microservice.audio.writer import AudioWriter
from spleeter_microservice.compat.audio import Codec
from spleeter_microservice.compat.audio.adapter import AudioAdapter
from spleeter_microservice.library import as_stereo_waveform

_BLOCK = 1 << 16


class FFMPEGProcessAudioAdapter(AudioAdapter):
    """Files, read and written as this program does everywhere, with the libraries of FFmpeg."""

    def load(
        self,
        audio_descriptor: str | bytes | os.PathLike[str],
        offset: float | None = None,
        duration: float | None = None,
        sample_rate: float | None = None,
        dtype: Any = "float32",
    ) -> tuple[NDArray[Any], float]:
        """Read a file: mono has one channel, anything else two; more are mixed down.

        Raises:
            InputError: if the file cannot be read.
            ConfigurationError: if offset or duration is out of range.
        """
        path = Path(os.fsdecode(audio_descriptor))
        if sample_rate is None:
            with AudioReader(path) as reader:
                sample_rate = reader.source_sample_rate
        rate = round(float(sample_rate))
        with AudioReader(path, sample_rate=rate, offset=offset or 0.0, duration=duration) as reader:
            waveform = np.concatenate(list(reader.blocks(_BLOCK)))
        return waveform[:, : reader.source_channels].astype(np.dtype(dtype), copy=False), rate

    def save(
        self,
        path: str | Path,
        data: NDArray[Any],
        sample_rate: float,
        codec: Codec | None = None,
        bitrate: str | None = None,
    ) -> None:
        """Write a file of two channels; mono is doubled.

        Raises:
            ConfigurationError: if the codec is unknown, or the array is not a waveform.
            OutputError: if the file cannot be written.
        """
        output_format = OutputFormat(
            str(codec or Path(path).suffix.removeprefix(".").lower()), bitrate or DEFAULT_BITRATE
        )
        waveform, rate = as_stereo_waveform(data), round(float(sample_rate))
        with AudioWriter(Path(path), output_format, rate, len(waveform)) as writer:
            writer.write(waveform)
            writer.commit()
