"""Unpacks archives of unknown origin: .tar.gz, .tar and .zip."""

from __future__ import annotations

import gzip
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, cast

from spleeter_microservice.errors import ArchiveError

_MOST_MEMBERS = 100
_DEEPEST = 2  # a folder and a file
_CHUNK = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_RESOURCE_FORKS = "__MACOSX"  # what macOS adds to its zip files


def unpack(path: Path, folder: Path, max_bytes: int) -> None:
    """Write an archive's files into a folder.

    Only regular files are admitted, and only inside the folder, at most one folder deep.

    Args:
        path: of the archive.
        folder: an existing, empty folder.
        max_bytes: that the archive may unpack to.

    Raises:
        ArchiveError: naming the member that is refused, or what is wrong with the archive.
        OSError: when the folder cannot be written.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise ArchiveError(f"Cannot read the archive {path}: {error.strerror}.") from error
    writer = _Writer(path, folder, max_bytes)
    try:
        if zipfile.is_zipfile(path) and not start.startswith(_GZIP_MAGIC):
            _unpack_zip(path, writer)
        else:
            _unpack_tar(path, start.startswith(_GZIP_MAGIC), writer)
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        gzip.BadGzipFile,
        zlib.error,
        EOFError,
        RuntimeError,  # zipfile's for an encrypted member
        NotImplementedError,  # zipfile's for an unknown compression
        ValueError,
    ) as error:
        raise ArchiveError(f"The archive {path} is damaged or is none (.tar.gz, .zip): {error}") from error


def _unpack_tar(path: Path, compressed: bool, writer: _Writer) -> None:
    with cast("IO[bytes]", gzip.open(path) if compressed else path.open("rb")) as raw:
        # As a stream, and a bounded one: else a header alone could unpack to any size.
        bounded = _Bounded(raw, path, writer.left + _CHUNK)
        with tarfile.open(fileobj=bounded, mode="r|") as archive:  # type: ignore[call-overload]  # reads only
            for member in archive:
                if member.isdir():
                    continue
                content = archive.extractfile(member) if member.isreg() else None
                if content is None:
                    raise ArchiveError(f"{path} is refused: {member.name!r} is no regular file.")
                writer.write(member.name, content)


def _unpack_zip(path: Path, writer: _Writer) -> None:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.is_dir() or member.filename.startswith(f"{_RESOURCE_FORKS}/"):
                continue
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):
                raise ArchiveError(f"{path} is refused: {member.filename!r} is no regular file.")
            with archive.open(member) as content:
                writer.write(member.filename, content)


class _Writer:
    """Writes members into the folder, within the bounds."""

    def __init__(self, path: Path, folder: Path, max_bytes: int) -> None:
        self.path = path
        self.folder = folder
        self.max_bytes = max_bytes
        self.left = max_bytes
        self.members = 0

    def write(self, name: str, content: IO[bytes]) -> None:
        self.members += 1
        if self.members > _MOST_MEMBERS:
            raise ArchiveError(f"{self.path} is refused: it has more than {_MOST_MEMBERS} files.")
        target = self._target(name)
        target.parent.mkdir(exist_ok=True)
        try:
            with target.open("xb") as file:
                while chunk := content.read(_CHUNK):
                    self.left -= len(chunk)
                    if self.left < 0:
                        raise ArchiveError(
                            f"{self.path} is refused: with {name!r} it exceeds {self.max_bytes} bytes."
                        )
                    file.write(chunk)
        except FileExistsError as error:
            raise ArchiveError(f"{self.path} is refused: it has {name!r} twice.") from error

    def _target(self, name: str) -> Path:
        inside = PurePosixPath(name)
        parts = inside.parts
        if inside.is_absolute() or ".." in parts or "\\" in name or not 1 <= len(parts) <= _DEEPEST:
            raise ArchiveError(
                f"{self.path} is refused: {name!r} does not lie in it, or in one folder of it."
            )
        return self.folder / inside


class _Bounded:
    """A file that may be read to a limit, in bytes."""

    def __init__(self, file: IO[bytes], path: Path, limit: int) -> None:
        self.file = file
        self.path = path
        self.left = limit

    def read(self, size: int) -> bytes:
        data = self.file.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise ArchiveError(f"{self.path} is refused: it unpacks to more than a model.")
        return data
