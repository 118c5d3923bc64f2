"""The level of stems and mixes, which is changed by factors that are known only at a song's end."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from spleeter_microservice.arrays import Waveform
from spleeter_microservice.audio.loudness import LoudnessMeter
from spleeter_microservice.errors import DiskFullError, UnwritableOutputError
from spleeter_microservice.files import FULL
from spleeter_microservice.separation.measurements import StemMeasurements
from spleeter_microservice.separation.options import SeparationOptions

_PIECE = 1 << 16  # samples
_FULL_SCALE = 1 - 1e-6  # rounding may add a ten-millionth
_SONG = ""  # in place of a name


class Leveller(AbstractContextManager["Leveller"]):
    """The stems and mixes of a song, held back in files without names until their level is known.

    The files lie beside the outputs, have 8 bytes for each sample of both channels, and vanish when they are
    closed, even if the process is killed.

    Args:
        options: what the caller chose; the level is not ``as-is``.
        paths: paths of the outputs, by name.
        sample_rate: sample rate of what is held, in Hz.
        channels: channels of the outputs; of mono, what is held has two that are alike.

    Raises:
        DiskFullError, UnwritableOutputError: if a file cannot be created.
    """

    def __init__(
        self, options: SeparationOptions, paths: Mapping[str, Path], sample_rate: int, channels: int = 2
    ) -> None:
        self._options = options
        self._paths = paths
        self._channels = channels
        measured = [] if options.loudness is None else paths if options.level_each else [_SONG]
        self._meters = {name: LoudnessMeter(sample_rate, channels) for name in measured}
        self._factors: dict[str, float] = {}
        self._samples = 0
        self._columns: dict[str, int] = {}  # of each output
        self._beyond = Counter[str]()
        self._peaks = dict.fromkeys(paths, 0.0)
        self._files = {}
        try:
            for name, path in paths.items():
                with self._reporting(name):
                    self._files[name] = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115  (see __exit__)
        except BaseException:
            self.__exit__()
            raise

    def hold(self, song: Waveform, outputs: Mapping[str, Waveform]) -> None:
        """Measure and keep the next samples of the song and of its outputs, each of shape (samples, 2).

        A file of all stems has more columns, of which the first two are its mix.

        Raises:
            DiskFullError, UnwritableOutputError: if they cannot be kept.
        """
        for name, meter in self._meters.items():
            meter.add(outputs.get(name, song)[:, : self._channels])
        self._samples += len(song)
        for name, file in self._files.items():
            self._peaks[name] = max(self._peaks[name], float(np.abs(outputs[name]).max(initial=0)))
            with self._reporting(name):
                file.write(np.ascontiguousarray(outputs[name]).data)
        self._columns = {name: outputs[name].shape[1] for name in self._files}

    def _chosen(self) -> dict[str, float]:
        if (target := self._options.loudness) is not None:
            found = {name: meter.result() for name, meter in self._meters.items()}
            factors = {
                name: 1.0 if loudness is None else math.pow(10, (target - loudness) / 20)
                for name, loudness in found.items()
            }
        else:
            # The encoder reports samples that are not finite.
            factors = {
                name: _FULL_SCALE / peak if 1 < peak < math.inf else 1.0 for name, peak in self._peaks.items()
            }
        if self._options.level_each:
            return factors
        return dict.fromkeys(self._paths, min(factors.values()))

    def outputs(self) -> Iterator[dict[str, Waveform]]:
        """Yield everything that was held, at its new level.

        Raises:
            UnwritableOutputError: if a file cannot be read.
        """
        self._factors = self._chosen()
        for name, file in self._files.items():
            with self._reporting(name):
                file.seek(0)
        for start in range(0, self._samples, _PIECE):
            samples = min(_PIECE, self._samples - start)
            block = {}
            for name, file in self._files.items():
                with self._reporting(name):
                    data = file.read(4 * self._columns[name] * samples)
                held = np.frombuffer(data, np.float32).reshape(samples, self._columns[name])
                block[name] = held * np.float32(self._factors[name])
                heard = block[name][:, : self._channels]
                self._beyond[name] += int(np.count_nonzero(np.abs(heard) > 1))
            yield block

    @property
    def gains(self) -> dict[str, float]:
        """By how much the level of each output was changed, in dB."""
        return {name: round(20 * math.log10(factor), 2) + 0.0 for name, factor in self._factors.items()}

    def measured(self, before: Mapping[str, StemMeasurements]) -> dict[str, StemMeasurements]:
        """Return the measurements of the outputs that were yielded.

        Args:
            before: measurements of each output before.
        """
        return {
            name: replace(
                values,
                level=None if values.level is None else round(values.level + self.gains[name], 2),
                peak=values.peak * self._factors[name],
                beyond_full_scale=self._beyond[name],
            )
            for name, values in before.items()
        }

    @contextmanager
    def _reporting(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            path = self._paths[name]
            if error.errno in FULL:
                raise DiskFullError(
                    f"No space is left in {path.parent} to change the level of {path.name} "
                    f"({error.strerror}). Free some, choose another output directory, or leave the level "
                    "as it is."
                ) from error
            raise UnwritableOutputError(
                f"The level of {path} cannot be changed: {error}. Check the directory {path.parent}, or "
                "choose another output directory."
            ) from error

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            with suppress(OSError):  # a full disk reports once more what was not written
                file.close()
