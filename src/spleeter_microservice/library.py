"""The library: a separator that is used as official Spleeter's class of that name is."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from os import PathLike, environ
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.audio.codecs import OutputFormat
from spleeter_microservice.errors import ConfigurationError, InvalidSamplesError, NoSamplesError
from spleeter_microservice.models.directory import InstalledModel
from spleeter_microservice.models.provide import find_model, open_store
from spleeter_microservice.separation.separator import open_pipeline
from spleeter_microservice.separation.song import Excerpt, SeparatedSong, Stems, separate_song
from spleeter_microservice.separation.spleeter.pipeline import Bandwidth, SpleeterSeparator
from spleeter_microservice.separation.stem_paths import FILENAME_FORMAT, stem_paths
from spleeter_microservice.settings import Settings

AnyPath = str | PathLike[str]


class Separator:
    """Separates waveforms and files with one model.

    The positional arguments, and those of the methods, are official Spleeter's, so that it
    can stand in for ``spleeter.separator.Separator``. The model is loaded at the first use
    and kept. Used by one thread at a time.

    Args:
        model: ``spleeter:2stems``, ``2stems``, … or the path of a configuration file.
        mwf: refine by a multichannel Wiener filter.
        multiprocess: accepted and ignored: all cores are used in any case.
        MWF: official Spleeter's name for ``mwf``.
        bandwidth: ``official``, or ``full`` for stems that sum to the mix.
        settings: where models are; by default what the environment says.
    """

    def __init__(
        self,
        model: str = "spleeter:2stems",
        mwf: bool = False,
        multiprocess: bool = True,
        *,
        MWF: bool = False,  # noqa: N803  # official Spleeter's spelling
        bandwidth: Bandwidth = "official",
        settings: Settings | None = None,
    ) -> None:
        self._descriptor = model
        self._mwf = mwf or MWF
        self._bandwidth: Bandwidth = bandwidth
        self._settings = settings or Settings.from_environment(environ)
        self._stack = ExitStack()
        self._loaded: tuple[InstalledModel, SpleeterSeparator] | None = None

    def separate(
        self, waveform: NDArray[Any], audio_descriptor: AnyPath = ""
    ) -> dict[str, NDArray[np.float32]]:
        """Separate a waveform.

        Args:
            waveform: shape (samples, channels) or (samples,), floating point, full scale
                being 1, at the model's sample rate (44100 Hz). One channel is doubled; of more
                than two, the first two are taken, as official Spleeter does.
            audio_descriptor: accepted and ignored.

        Returns:
            for each instrument, an array of shape (samples, 2).

        Raises:
            ConfigurationError: when the array is no waveform.
            NoSamplesError: when it is empty.
            InvalidSamplesError: when it has samples that are not finite.
            ModelError: when the model cannot be used.
        """
        stereo = _stereo(waveform)
        names, pipeline = self.model.architecture.stems, self._pipeline
        stems = {name: np.empty_like(stereo) for name in names}
        start = 0
        for piece in pipeline.separate_blocks(lambda: [stereo]):
            end = start + piece.mix.shape[1]
            for name, stem in zip(stems, piece.stems, strict=True):
                stems[name][start:end] = stem.T
            start = end
        return stems

    def separate_to_file(  # noqa: PLR0917  # official Spleeter's arguments in their order
        self,
        audio_descriptor: AnyPath,
        destination: AnyPath,
        audio_adapter: None = None,
        offset: float = 0.0,
        duration: float | None = None,
        codec: str = "wav",
        bitrate: str | None = "128k",
        filename_format: str = FILENAME_FORMAT,
        synchronous: bool = True,
        *,
        bit_depth: str | None = None,
    ) -> SeparatedSong:
        """Separate a file into one file per stem.

        Args:
            audio_descriptor: path of the input.
            destination: folder of the outputs.
            audio_adapter: only None; files are read and written by this package.
            offset: where to start, in seconds.
            duration: how much to separate, in seconds; None, unlike official Spleeter's 600,
                means all of it.
            codec: wav, flac, mp3, m4a, ogg, opus or wma.
            bitrate: of lossy codecs.
            filename_format: template with {filename}, {foldername}, {instrument}, {codec}.
            synchronous: accepted and ignored: the files are there when the call returns.
            bit_depth: 16, 24 or 32f.

        Raises:
            AudioError: when the input cannot be read or the stems cannot be written.
            ConflictingPathsError: when the template gives two stems one name.
            ModelError: when the model cannot be used.
        """
        _refuse_adapter(audio_adapter)
        output_format = OutputFormat(str(codec), bitrate, bit_depth)
        source, names = Path(audio_descriptor), self.model.architecture.stems
        paths = stem_paths(source, names, Path(destination), filename_format, output_format.codec)
        return separate_song(self._pipeline, source, paths, output_format, Excerpt(offset, duration))

    def save_to_file(
        self,
        sources: Mapping[str, NDArray[np.float32]],
        audio_descriptor: AnyPath,
        destination: AnyPath,
        filename_format: str = FILENAME_FORMAT,
        codec: str = "wav",
        audio_adapter: None = None,
        bitrate: str | None = "128k",
        synchronous: bool = True,
    ) -> None:
        """Write what ``separate`` returned; arguments as for ``separate_to_file``."""
        _refuse_adapter(audio_adapter)
        output_format = OutputFormat(str(codec), bitrate)
        paths = stem_paths(
            Path(audio_descriptor), sources, Path(destination), filename_format, output_format.codec
        )
        with Stems(paths, output_format, self.model.architecture.sample_rate) as stems:
            stems.write(sources)
            stems.publish()

    def join(self, timeout: int = 200) -> None:
        """Do nothing: every call has finished when it returns."""

    @property
    def model(self) -> InstalledModel:
        """The model, loaded if it was not yet."""
        return self._load()[0]

    @property
    def _pipeline(self) -> SpleeterSeparator:
        return self._load()[1]

    def _load(self) -> tuple[InstalledModel, SpleeterSeparator]:
        if self._loaded is None:
            settings = self._settings
            store = open_store(settings.models_dir, settings.models_url)
            model = find_model(self._descriptor, store, settings.checkpoints_dir)
            pipeline = open_pipeline(model, mwf=self._mwf, bandwidth=self._bandwidth)
            self._loaded = model, self._stack.enter_context(pipeline)
        return self._loaded

    def close(self) -> None:
        """Give the networks' memory back; the next use loads them again."""
        self._stack.close()
        self._loaded = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _stereo(waveform: NDArray[Any]) -> NDArray[np.float32]:
    array = np.asarray(waveform)
    if array.ndim == 1:
        array = array[:, np.newaxis]
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.floating) or not array.shape[1]:
        raise ConfigurationError(
            "A waveform must be a floating-point array of shape (samples, channels), "
            f"not {array.dtype} of shape {array.shape}."
        )
    if not len(array):
        raise NoSamplesError("The waveform has a length of zero.")
    if not np.isfinite(array).all():
        raise InvalidSamplesError("The waveform has samples that are not finite numbers.")
    two = array[:, :2] if array.shape[1] > 1 else np.repeat(array, 2, axis=1)
    return np.ascontiguousarray(two, np.float32)


def _refuse_adapter(audio_adapter: object) -> None:
    if audio_adapter is not None:
        raise ConfigurationError("Audio adapters are not supported: pass waveforms to separate() instead.")
