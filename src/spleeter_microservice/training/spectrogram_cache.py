"""Keeps the spectrograms of chunks in a folder, under names that say all that they depend on."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.errors import DiskFullError
from spleeter_microservice.files import replace_atomically
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture
from spleeter_microservice.training.chunks import Chunk, check_frames, read_chunks
from spleeter_microservice.training.examples import Source

_VERSION = 1
_LARGEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class SpectrogramCache:
    """A folder of arrays of shape (2, frames, bins), in half precision: 2 bytes for each number.

    A file whose audio, place in it or transform is another has another name, so that nothing
    outdated is ever used; what is no longer used is left for its owner to remove.

    Attributes:
        folder: where they are.
        hashes: SHA-256 of each audio file.
        architecture: gives the transform's sizes.
    """

    folder: Path
    hashes: Mapping[Path, str]
    architecture: UNetArchitecture

    def load(self, source: Source, chunk: Chunk) -> NDArray[Any]:
        """Map what is kept of a source, of shape (2, frames, bins), into memory."""
        kept: NDArray[Any] = np.load(self._path(source, chunk), mmap_mode="r")
        return kept

    def fill(self, chunks: Sequence[Chunk], workers: int, progress: Callable[[int, int], None]) -> None:
        """Compute all that is not there yet, each source being decoded once.

        Args:
            chunks: of all songs.
            workers: sources decoded at the same time.
            progress: told how many sources are done, of how many.

        Raises:
            AudioError: when a track cannot be read.
            StemLengthError: when a track ends before its chunk does.
            DiskFullError: when the folder refuses files.
        """
        wanted = self._missing(chunks)
        with ThreadPoolExecutor(workers) as pool:
            pending = {pool.submit(self._compute, source, parts) for source, parts in wanted.items()}
            total = len(pending)
            progress(0, total)
            try:
                while pending:
                    done, pending = wait(pending, timeout=0.2, return_when=FIRST_EXCEPTION)
                    for future in done:
                        future.result()
                    progress(total - len(pending), total)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _missing(self, chunks: Sequence[Chunk]) -> dict[Source, list[Chunk]]:
        wanted: dict[Source, list[Chunk]] = defaultdict(list)
        for chunk in sorted(chunks, key=lambda chunk: chunk.start):
            for source in chunk.example.sources:
                if not self._path(source, chunk).exists():
                    wanted[source].append(chunk)
        return dict(wanted)

    def _compute(self, source: Source, chunks: Sequence[Chunk]) -> None:
        spans = [(chunk.start, chunk.stop) for chunk in chunks]
        spectrograms = read_chunks(source, spans, self.architecture)
        for chunk, spectrogram in zip(chunks, spectrograms, strict=True):
            check_frames(spectrogram.shape[1], chunk, source, self.architecture)
            self._save(self._path(source, chunk), spectrogram)

    def _path(self, source: Source, chunk: Chunk) -> Path:
        a = self.architecture
        audio = [[self.hashes[track.path], track.stream] for track in source]
        transform = [a.sample_rate, a.n_fft, a.hop_length, a.bins]
        key = json.dumps([_VERSION, audio, chunk.start, chunk.stop, transform])
        name = hashlib.sha256(key.encode()).hexdigest()
        return self.folder / name[:2] / f"{name}.npy"

    def _save(self, path: Path, spectrogram: NDArray[np.float32]) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replace_atomically(path) as temporary, temporary.open("wb") as file:
                np.save(file, np.minimum(spectrogram, _LARGEST).astype(np.float16))
        except OSError as error:
            raise DiskFullError(
                f"The cache {self.folder} cannot be written: {error.strerror}. Make space, or name another "
                "folder in the configuration."
            ) from error
