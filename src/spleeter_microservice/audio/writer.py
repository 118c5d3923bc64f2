"""Writing of a stem as a stream, under a temporary name until it is complete."""

from __future__ import annotations

import errno
import os
import stat
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from numpy.typing import NDArray

from spleeter_microservice import errors
from spleeter_microservice.audio.encoder import StemEncoder
from spleeter_microservice.audio.film import Pictures
from spleeter_microservice.audio.output_format import OutputFormat
from spleeter_microservice.audio.tagging import add_to_file
from spleeter_microservice.audio.tags import Tags
from spleeter_microservice.files import FULL, lock, temporary_path

_BUFFER_SIZE = 1 << 18  # bytes


class AudioWriter(AbstractContextManager["AudioWriter"]):
    """A writer of one stem, which writes to a hidden temporary file beside the final path.

    ``commit`` renames the file to its path. Without it, leaving the context removes the temporary file and
    the directories created for it, and so does any error. Samples beyond full scale are clamped, except in
    float WAV, and counted in ``clipped_samples``.

    Args:
        path: path of the file.
        output_format: format to write.
        sample_rate: sample rate of what is written, in Hz.
        frames: its length, or an estimate; 0 if it is unknown.
        tags: tags of the stem, if it has any.
        pictures: pictures to copy into the file, if it is a film.

    Raises:
        UnwritableOutputError: if the directory cannot be created or written to, or the path is a directory.
        DiskFullError: if no space is left.
        EncodingError: if the encoder does not support this sample rate or bitrate.
    """

    def __init__(
        self,
        path: Path,
        output_format: OutputFormat,
        sample_rate: int = 44100,
        frames: float = 0,
        tags: Tags | None = None,
        pictures: Pictures | None = None,
    ) -> None:
        self._path = path
        self._format, self._tags = output_format, tags
        self._folders: list[Path] = []
        self._temporary = temporary_path(path)
        self._file: _WatchedFile | None = None
        self._lock: BinaryIO | None = None
        self._encoder: StemEncoder | None = None
        self._finished = False
        # As in a reader, nothing may be closed while another thread is encoding.
        self._in_use = threading.RLock()
        with self._reporting():
            self._make_folders()
            self._check_name()
            self._file = _WatchedFile(self._temporary)
            self._lock = lock(self._temporary)  # so that it does not look abandoned
            seed = zlib.crc32(os.fsencode(self._path.name))  # each time the same, but of each stem its own
            self._encoder = StemEncoder(self._file, output_format, sample_rate, frames, seed, tags, pictures)

    def __exit__(self, *_: object) -> None:
        self.discard()

    @property
    def clipped_samples(self) -> int:
        """Number of samples, in all channels, that were beyond full scale and clamped."""
        return self._encoder.clipped_samples if self._encoder else 0

    def write(self, waveform: NDArray[np.float32]) -> None:
        """Encode the next frames, float32 of shape (frames, 2 × tracks); any number of them.

        Raises:
            EncodingError: if the encoder fails, or samples are not finite.
            DiskFullError: if no space is left.
            UnwritableOutputError: if the medium fails.
        """
        with self._reporting():
            self._opened().write(waveform)

    def finish(self, frames: int | None = None) -> None:
        """Encode what is pending and close the file, which keeps its temporary name.

        Args:
            frames: length of the file in frames, if it is not that of everything written, rounded.

        Raises:
            OutputError: as ``write``; many media report only now that they are full.
        """
        if self._finished:
            return
        with self._reporting():
            self._opened().finish(frames)
            if self._file and not self._file.error:
                add_to_file(self._file, self._format, self._tags)
            self._finished = True
            if self._file:
                self._file.close()
                if self._file.error:
                    raise self._file.error

    def commit(self) -> None:
        """Finish the file if necessary, and rename it to its path, replacing any file there.

        Raises:
            OutputError: as ``finish``, or if the file cannot be renamed.
        """
        self.finish()
        with self._reporting():
            self._temporary.replace(self._path)
            self._folders.clear()
            self._unlock()

    def discard(self) -> None:
        """Remove the temporary file and the directories created for it; do nothing after ``commit``.

        A second call removes directories that were not empty at the first.
        """
        with self._in_use:
            if self._file is not None:
                self._file.close()
            if self._encoder is not None:
                self._encoder.abandon()
            with suppress(OSError):
                self._temporary.unlink(missing_ok=True)
            self._unlock()
            with suppress(OSError):  # it holds another writer's file, perhaps until the next call
                while self._folders:
                    self._folders[-1].rmdir()
                    self._folders.pop()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()

    def _opened(self) -> StemEncoder:
        if self._encoder is None or self._finished or self._file is None or self._file.closed:
            raise ValueError("This writer was finished or discarded.")
        return self._encoder

    def _check_name(self) -> None:
        """Raise an error now, not after the whole song, if no file can have this path."""
        try:
            taken = stat.S_ISDIR(self._path.lstat().st_mode)
        except FileNotFoundError:
            return
        except ValueError as error:  # a NUL byte
            raise OSError(errno.EINVAL, str(error)) from error
        if taken:
            raise IsADirectoryError(errno.EISDIR, "it is a directory")

    def _make_folders(self) -> None:
        missing = []
        folder = self._path.parent
        while not folder.exists() and folder != folder.parent:
            missing.append(folder)
            folder = folder.parent
        for folder in reversed(missing):
            with suppress(FileExistsError):  # another writer was faster
                folder.mkdir()
                self._folders.append(folder)

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """Remove everything after an error, and raise the error that tells the user what to do."""
        with self._in_use:
            try:
                yield
            except (OSError, av.FFmpegError, FloatingPointError) as error:
                cause = (self._file and self._file.error) or error
                self.discard()
                raise self._translated(cause) from error
            except BaseException:
                self.discard()
                raise

    def _translated(self, error: Exception) -> errors.OutputError:
        folder = self._path.parent
        if isinstance(error, OSError) and error.errno in FULL:
            return errors.DiskFullError(
                f"No space is left in {folder} for {self._path.name} ({error.strerror}). "
                "Free some, or choose another output directory."
            )
        if isinstance(error, FloatingPointError):
            return errors.EncodingError(f"{self._path} cannot be written: {error}. Report this as a bug.")
        if isinstance(error, av.FFmpegError):
            return errors.EncodingError(
                f"{self._path} could not be encoded: {error.strerror}. Choose another codec or bitrate."
            )
        return errors.UnwritableOutputError(
            f"{self._path} cannot be written: {error}. Check the directory {folder} and its permissions, "
            "or choose another output directory."
        )


class _WatchedFile:
    """A new file that remembers its first error while it is written.

    FFmpeg gets a negative number instead of an exception, which must not pass through C code. It then
    continues to write, and reports only few errors, and those late.
    """

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("x+b", buffering=_BUFFER_SIZE)
        self.name = ""  # keeps FFmpeg from guessing a format
        self.error: OSError | None = None

    @property
    def closed(self) -> bool:
        return self._file.closed

    def read(self, size: int) -> bytes:
        return self._file.read(size)

    def write(self, data: bytes) -> int:
        return self._watch(self._file.write, data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._watch(self._file.seek, offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._watch(self._file.close)

    def _watch(self, action: Callable[..., int | None], *arguments: int | bytes) -> int:
        try:
            return action(*arguments) or 0
        except OSError as error:
            self.error = self.error or error
            return -(error.errno or errno.EIO)
        except ValueError:  # closed because this stem was discarded
            return -errno.EBADF
