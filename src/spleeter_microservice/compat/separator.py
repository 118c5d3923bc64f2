"""The class that separates, with exactly official Spleeter's arguments and defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice import library
from spleeter_microservice.compat.audio import Codec, STFTBackend
from spleeter_microservice.compat.audio.adapter import AudioAdapter
from spleeter_microservice.compat.audio.ffmpeg import FFMPEGProcessAudioAdapter
from spleeter_microservice.separation.stem_paths import FILENAME_FORMAT, stem_paths


class Separator:
    """A separator that reads and writes with audio adapters; see ``library.Separator``.

    Args:
        params_descriptor: ``spleeter:2stems``, … or the path of a configuration file.
        MWF: refine the stems with a multichannel Wiener filter.
        multiprocess: accepted and ignored, as is ``stft_backend``.
        stft_backend: an argument of Spleeter up to 2.3.
    """

    def __init__(
        self,
        params_descriptor: str,
        MWF: bool = False,  # noqa: N803  # official Spleeter's spelling
        multiprocess: bool = True,
        stft_backend: STFTBackend = STFTBackend.AUTO,
    ) -> None:
        self._separator = library.Separator(params_descriptor, MWF)

    def separate(self, waveform: NDArray[Any], audio_descriptor: Any = "") -> dict[str, NDArray[np.float32]]:
        """Return an array of shape (samples, 2) for each stem of a waveform of shape (samples, channels).

        Raises:
            SpleeterError: as ``library.Separator.separate``.
        """
        return self._separator.separate(waveform)

    def separate_to_file(  # noqa: PLR0917  # official Spleeter's arguments in their order
        self,
        audio_descriptor: Any,
        destination: str | os.PathLike[str],
        audio_adapter: AudioAdapter | None = None,
        offset: float = 0,
        duration: float | None = 600.0,
        codec: Codec = Codec.WAV,
        bitrate: str | None = "128k",
        filename_format: str = FILENAME_FORMAT,
        synchronous: bool = True,
    ) -> None:
        """Separate a song into one file per stem; the arguments are those of ``library.Separator``.

        Args:
            audio_descriptor: path of the song, or what else the adapter takes.
            destination: directory of the outputs.
            audio_adapter: what reads the song and writes the stems.
            offset: seconds of the song to skip.
            duration: seconds of the song to separate; None separates everything to its end.
            codec: codec of the stems.
            bitrate: bitrate of a lossy codec.
            filename_format: template with {filename}, {foldername}, {instrument}, {codec}.
            synchronous: accepted and ignored: the files are complete when the call returns.

        Raises:
            SpleeterError: as ``library.Separator.separate_to_file``.
        """
        adapter = audio_adapter or AudioAdapter.default()
        if type(adapter) is FFMPEGProcessAudioAdapter:
            self._separator.separate_to_file(
                os.fsdecode(audio_descriptor),
                destination,
                offset=offset,
                duration=duration,
                codec=codec,
                bitrate=bitrate,
                filename_format=filename_format,
            )
            return
        waveform, _ = adapter.load(
            audio_descriptor, offset=offset, duration=duration, sample_rate=self._sample_rate
        )
        self.save_to_file(
            self.separate(waveform), audio_descriptor, destination, filename_format, codec, adapter, bitrate
        )

    def save_to_file(
        self,
        sources: Mapping[str, NDArray[Any]],
        audio_descriptor: Any,
        destination: str | os.PathLike[str],
        filename_format: str = FILENAME_FORMAT,
        codec: Codec = Codec.WAV,
        audio_adapter: AudioAdapter | None = None,
        bitrate: str | None = "128k",
        synchronous: bool = True,
    ) -> None:
        """Write the stems that ``separate`` returned; the arguments are those of ``separate_to_file``."""
        adapter = audio_adapter or AudioAdapter.default()
        source = Path(os.fsdecode(audio_descriptor))
        for name, path in stem_paths(source, sources, Path(destination), filename_format, str(codec)).items():
            path.parent.mkdir(parents=True, exist_ok=True)
            adapter.save(str(path), sources[name], self._sample_rate, codec, bitrate)

    def join(self, timeout: int = 200) -> None:
        """Do nothing: every call has finished when it returns."""

    @property
    def _sample_rate(self) -> int:
        return self._separator.model.files.sample_rate
