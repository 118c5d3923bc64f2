"""A folder of cached spectrograms, each named by a hash of everything that it depends on."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.arrays import Array
from spleeter_microservice.errors import DiskFullError
from spleeter_microservice.files import replace_atomically
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture
from spleeter_microservice.training.chunks import Chunk, check_frames, read_chunks
from spleeter_microservice.training.examples import Source

_VERSION = 1
_LARGEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class SpectrogramCache:
    """Cached spectrograms of chunks, shape (2, frames, bins), in half precision.

    A change of the audio, of the chunk or of the transform changes the file's name, so an outdated file is
    never read. Files that are no longer used are not removed.

    Attributes:
        folder: folder of the files.
        hashes: SHA-256 of each audio file.
        architecture: sets the sizes of the transform.
    """

    folder: Path
    hashes: Mapping[Path, str]
    architecture: UNetArchitecture

    def load(self, source: Source, chunk: Chunk) -> NDArray[Any]:
        """Return a source's spectrogram of a chunk, shape (2, frames, bins), mapped into memory."""
        spectrogram: NDArray[Any] = np.load(self._path(source, chunk), mmap_mode="r")
        return spectrogram

    def fill(self, chunks: Sequence[Chunk], workers: int, progress: Callable[[int, int], None]) -> None:
        """Compute the missing spectrograms, decoding each source once.

        Args:
            chunks: chunks of all songs.
            workers: number of sources to decode at once.
            progress: called with the number of sources that are done, and the number of all.

        Raises:
            AudioError: if a track cannot be read.
            StemLengthError: if a track ends before its chunk does.
            DiskFullError: if the folder cannot be written.
        """
        missing = self._missing(chunks)
        with ThreadPoolExecutor(workers) as pool:
            futures = [pool.submit(self._compute, source, parts) for source, parts in missing.items()]
            progress(0, len(futures))
            try:
                for done, future in enumerate(as_completed(futures), start=1):
                    future.result()
                    progress(done, len(futures))
            finally:
                pool.shutdown(cancel_futures=True)

    def _missing(self, chunks: Sequence[Chunk]) -> dict[Source, list[Chunk]]:
        missing: dict[Source, list[Chunk]] = defaultdict(list)
        for chunk in sorted(chunks, key=lambda chunk: chunk.start):
            for source in chunk.example.sources:
                if not self._path(source, chunk).exists():
                    missing[source].append(chunk)
        return missing

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

    def _save(self, path: Path, spectrogram: Array) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replace_atomically(path) as temporary, temporary.open("wb") as file:
                np.save(file, np.minimum(spectrogram, _LARGEST).astype(np.float16))
        except OSError as error:
            raise DiskFullError(
                f"Cannot write to the cache {self.folder}: {error.strerror}. Free some space, or set another "
                "directory in the configuration."
            ) from error
