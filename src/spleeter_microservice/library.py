"""The library: a class with the interface of official Spleeter's ``Separator``."""

from __future__ import annotations

import ctypes
import logging
import os
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.arrays import LARGEST_SAMPLE
from spleeter_microservice.audio.output_format import OutputFormat
from spleeter_microservice.errors import ConfigurationError, InvalidSamplesError, NoSamplesError
from spleeter_microservice.models.directory import InstalledModel
from spleeter_microservice.models.provide import find_model
from spleeter_microservice.models.store import ModelStore
from spleeter_microservice.separation.options import SeparationOptions
from spleeter_microservice.separation.presets import default_model, with_preset
from spleeter_microservice.separation.result import SeparatedSong
from spleeter_microservice.separation.separator import StemSeparator, load_separator
from spleeter_microservice.separation.song import Stems, separate_song, with_mixes
from spleeter_microservice.separation.stem_paths import FILENAME_FORMAT, stem_paths
from spleeter_microservice.settings import Settings

logger = logging.getLogger(__name__)

AnyPath = str | os.PathLike[str]

_MOST_CHANNELS = 64  # FFmpeg's limit; an array with more has its axes in another order


class Separator(AbstractContextManager["Separator"]):
    """A separator of waveforms and files with one model.

    The positional arguments, and those of the methods, are official Spleeter's, so that this class can
    replace ``spleeter.separator.Separator``. The model is loaded at the first use and kept.

    Threads may share a separator: each call uses all cores, and waits until the one before it has ended.
    A forked process may use it too, and so may a process that it is sent to; each loads the model itself.

    Args:
        model: ``spleeter:2stems``, the default without a preset, ``2stems``, … or the path of a
            configuration file.
        mwf: refine the stems with a multichannel Wiener filter.
        multiprocess: accepted and ignored: all cores are used in any case.
        MWF: official Spleeter's name for ``mwf``.
        params_descriptor: official Spleeter's name for ``model``.
        settings: settings that say where models are; by default those of the environment.
        **options: fields of ``SeparationOptions``, such as ``bandwidth``.

    Raises:
        ConfigurationError: if an option has an impossible value.
        TypeError: if there is no option of a name.
    """

    _loaded: tuple[InstalledModel, StemSeparator] | None

    def __init__(
        self,
        model: str | None = None,
        mwf: bool = False,
        multiprocess: bool = True,
        *,
        MWF: bool = False,  # noqa: N803  # official Spleeter's spelling
        params_descriptor: str | None = None,
        settings: Settings | None = None,
        **options: Any,
    ) -> None:
        self._chosen = options | ({"mwf": True} if mwf or MWF else {})
        self._options()
        self._descriptor = params_descriptor or model or default_model(options.get("preset"))
        self._settings = settings or Settings.from_environment(os.environ)
        self._begin()

    def separate(
        self, waveform: NDArray[Any], audio_descriptor: AnyPath = ""
    ) -> dict[str, NDArray[np.float32]]:
        """Separate a waveform.

        Args:
            waveform: floating-point samples of shape (samples, channels) or (samples,), full scale being 1,
                at the model's sample rate (44100 Hz). One channel is doubled; of more than two, the first
                two are taken, as official Spleeter does.
            audio_descriptor: accepted and ignored.

        Returns:
            For each stem and mix that ``only``, ``mixes`` and ``without`` choose, an array of shape
            (samples, 2).

        Raises:
            ConfigurationError: if the array is not a waveform.
            NoSamplesError: if it is empty.
            InvalidSamplesError: if it has samples that are not finite or larger than 1e13.
            ModelError: if the model cannot be used.
        """
        stereo = as_stereo_waveform(waveform)
        options = self._options(codec="wav")  # that of files does not matter
        with self._turn:
            _, separator = self._load()
            recipes = options.recipes(separator.stems)
            found = {name: np.empty_like(stereo) for name in options.outputs(separator.stems)}
            start = 0
            for block in separator.separate_blocks(lambda: [stereo], options):
                end = start + block.mix.shape[1]
                waveforms = with_mixes(zip(separator.stems, block.stems, strict=True), recipes)
                for name, samples in found.items():
                    samples[start:end] = waveforms[name]
                start = end
        return found

    def separate_to_file(  # noqa: PLR0917  # official Spleeter's arguments in their order
        self,
        audio_descriptor: AnyPath,
        destination: AnyPath,
        audio_adapter: None = None,
        offset: float = 0.0,
        duration: float | None = None,
        codec: str | None = None,
        bitrate: str | None = None,
        filename_format: str = FILENAME_FORMAT,
        synchronous: bool = True,
        **options: Any,
    ) -> SeparatedSong:
        """Separate a file into one file per stem and mix.

        Args:
            audio_descriptor: path of the input.
            destination: directory of the outputs.
            audio_adapter: None; files are read and written by this package.
            offset: seconds of the song to skip.
            duration: seconds of the song to separate; by default, unlike official Spleeter's 600 s,
                everything to its end.
            codec: name of a codec, one of ``audio.codecs.CODECS``; by default ``wav``, or the preset's.
            bitrate: bitrate of a lossy codec; by default the codec's, or the preset's.
            filename_format: template with {filename}, {foldername}, {instrument}, {codec}.
            synchronous: accepted and ignored: the files are complete when the call returns.
            **options: more fields of ``SeparationOptions``, such as ``mixes``, for this song.

        Returns:
            The stems, the mixes and their measurements. ``warnings`` lists what is odd about the input, which
            is also logged, unless ``damaged="refuse"`` makes it an error.

        Raises:
            AudioError: if the input cannot be read or the stems cannot be written.
            ConfigurationError: if an option has an impossible value.
            ConflictingPathsError: if the template gives two stems the same path.
            ModelError: if the model cannot be used.
            TypeError: if there is no option of a name.
        """
        _refuse_adapter(audio_adapter)
        encoding = {"codec": codec and str(codec), "bitrate": bitrate}
        chosen = self._options(
            offset=offset,
            duration=duration,
            **{name: value for name, value in encoding.items() if value is not None},
            **options,
        )
        source = Path(audio_descriptor)
        with self._turn:
            _, separator = self._load()
            names = chosen.outputs(separator.stems)
            paths = stem_paths(source, names, Path(destination), filename_format, chosen.codec, chosen.video)
            song = separate_song(separator, source, paths, chosen)
        for warning in song.warnings:
            logger.warning("%s, at %.2f s: %s", source, warning.position, warning.message)
        return song

    def save_to_file(
        self,
        sources: Mapping[str, NDArray[np.float32]],
        audio_descriptor: AnyPath,
        destination: AnyPath,
        filename_format: str = FILENAME_FORMAT,
        codec: str = "wav",
        audio_adapter: None = None,
        bitrate: str | None = None,
        synchronous: bool = True,
    ) -> None:
        """Write the stems that ``separate`` returned; the arguments are those of ``separate_to_file``."""
        _refuse_adapter(audio_adapter)
        output_format = OutputFormat(str(codec), bitrate)
        if output_format.tracks > 1:
            raise ConfigurationError(
                f"The codec {codec} needs the mix too. Use separate_to_file, or choose another codec."
            )
        waveforms = {name: as_stereo_waveform(waveform) for name, waveform in sources.items()}
        paths = stem_paths(
            Path(audio_descriptor), waveforms, Path(destination), filename_format, output_format.codec
        )
        frames = max(map(len, waveforms.values()), default=0)
        with Stems(paths, output_format, self.model.files.sample_rate, frames) as stems:
            stems.write(waveforms)
            stems.publish()

    def join(self, timeout: int = 200) -> None:
        """Do nothing: every call has finished when it returns."""

    @property
    def model(self) -> InstalledModel:
        """The model, loaded at the first use."""
        with self._turn:
            return self._load()[0]

    def _options(self, **options: Any) -> SeparationOptions:
        """Return the options of a call, which win over those of the separator, and these over a preset."""
        chosen = with_preset(self._chosen | options)
        chosen.pop("stems", None)
        found = SeparationOptions(**chosen)
        found.check()
        return found

    def _load(self) -> tuple[InstalledModel, StemSeparator]:
        if self._loaded is None:
            settings = self._settings
            store = ModelStore(settings.models_dir, mirror=settings.models_url)
            model = find_model(self._descriptor, store, settings.checkpoints_dir)
            self._loaded = model, load_separator(model.files)
        return self._loaded

    def close(self) -> None:
        """Free the model's memory; the next use loads it again."""
        with self._turn:
            if self._loaded is not None:
                self._loaded[1].close()
                self._loaded = None

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self) -> None:
        self._turn = threading.Lock()
        self._loaded = None
        _separators.add(self)

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs to make the same separator."""
        return {name: value for name, value in vars(self).items() if name not in {"_turn", "_loaded"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._begin()

    def _leave_to_parent(self) -> None:
        """Forget the parent's model in a forked process, which has none of the threads that run it."""
        # Freeing it would mean waiting for those threads, so it is kept for ever.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._loaded))
        self._begin()


_separators: WeakSet[Separator] = WeakSet()


def _leave_all_to_parent() -> None:
    for separator in list(_separators):
        separator._leave_to_parent()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_leave_all_to_parent)


def as_stereo_waveform(waveform: NDArray[Any]) -> NDArray[np.float32]:
    """Return a caller's waveform as an array of shape (samples, 2).

    Raises:
        ConfigurationError: if the array is not a waveform.
        NoSamplesError: if it is empty.
        InvalidSamplesError: if it has samples that are not finite or larger than ``LARGEST_SAMPLE``.
    """
    array = np.asarray(waveform)
    found = f"this array is {array.dtype} of shape {array.shape}"
    if array.ndim == 1:
        array = array[:, np.newaxis]
    expected = "Expected floating-point samples between -1 and 1, of shape (samples, channels)"
    if np.issubdtype(array.dtype, np.integer):
        raise ConfigurationError(
            f"{expected}; {found}. Divide integers by their full scale, 32768 for int16."
        )
    if not np.issubdtype(array.dtype, np.floating) or array.ndim != 2:
        raise ConfigurationError(f"{expected}; {found}.")
    samples, channels = array.shape
    if not 1 <= channels <= max(2, min(samples, _MOST_CHANNELS)):
        raise ConfigurationError(f"{expected}; {found}. If its channels come first, pass waveform.T")
    if not samples:
        raise NoSamplesError("The waveform is empty.")
    two = array[:, :2] if channels > 1 else np.repeat(array, 2, axis=1)
    with np.errstate(over="ignore"):
        stereo = np.ascontiguousarray(two, np.float32)
    if not np.abs(stereo).max() <= LARGEST_SAMPLE:  # false for NaN too
        raise InvalidSamplesError(
            "The waveform has samples that are not finite numbers within ±1e13. Scale it to -1 to 1."
        )
    return stereo


def _refuse_adapter(audio_adapter: object) -> None:
    if audio_adapter is not None:
        raise ConfigurationError(
            "This class reads and writes files itself. To use an audio adapter, take the class Separator of "
            "spleeter_microservice.compat.separator."
        )
