"""The base class of audio adapters, which read and write a separator's waveforms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from spleeter_microservice.compat.audio import Codec
from spleeter_microservice.errors import ConfigurationError

_OFFICIAL = "spleeter."


class AudioAdapter(ABC):
    """A source of waveforms, and a place for them."""

    _DEFAULT: ClassVar[AudioAdapter | None] = None

    @abstractmethod
    def load(
        self,
        audio_descriptor: Any,
        offset: float | None = None,
        duration: float | None = None,
        sample_rate: float | None = None,
        dtype: Any = "float32",
    ) -> tuple[NDArray[Any], float]:
        """Return a song's waveform, of shape (samples, channels), and its sample rate.

        Args:
            audio_descriptor: what identifies the song, usually a path.
            offset: seconds of the song to skip.
            duration: seconds of the song to read; None reads to its end.
            sample_rate: sample rate in Hz to convert it to; None keeps the song's.
            dtype: type of the samples.
        """

    @abstractmethod
    def save(
        self,
        path: str | Path,
        data: NDArray[Any],
        sample_rate: float,
        codec: Codec | None = None,
        bitrate: str | None = None,
    ) -> None:
        """Write a waveform to a file.

        Args:
            path: path of the file.
            data: samples, of shape (samples, channels).
            sample_rate: their sample rate in Hz.
            codec: codec of the file; None goes by the path's extension.
            bitrate: bitrate of a lossy codec.
        """

    @classmethod
    def default(cls) -> AudioAdapter:
        """Return the adapter that reads and writes files with this program."""
        if AudioAdapter._DEFAULT is None:
            AudioAdapter._DEFAULT = cls.get(f"{_OFFICIAL}audio.ffmpeg.FFMPEGProcessAudioAdapter")
        return AudioAdapter._DEFAULT

    @classmethod
    def get(cls, descriptor: str) -> AudioAdapter:
        """Return an adapter of the class that a name of the form ``module.Class`` stands for.

        Official Spleeter's own names stand for the classes of ``spleeter_microservice.compat``.

        Raises:
            ConfigurationError: if the class cannot be imported, or is not an ``AudioAdapter``.
        """
        if descriptor.startswith(_OFFICIAL):
            descriptor = f"spleeter_microservice.compat.{descriptor.removeprefix(_OFFICIAL)}"
        module, _, name = descriptor.rpartition(".")
        try:
            found = getattr(import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigurationError(
                f"The audio adapter {descriptor!r} cannot be imported ({error}). Write module.Class, and put "
                "the module's directory into PYTHONPATH."
            ) from error
        if not (isinstance(found, type) and issubclass(found, AudioAdapter)):
            raise ConfigurationError(
                f"{descriptor!r} is not an audio adapter. Derive the class from {__name__}.AudioAdapter."
            )
        return found()


get_default_audio_adapter = AudioAdapter.default
"""The function that Spleeter 1 had for it."""
