"""Safe unpacking of archives from unknown sources: .tar.gz, .tar and .zip."""

from __future__ import annotations

import gzip
import stat
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from spleeter_microservice.errors import ArchiveError

_MOST_MEMBERS = 100
_MOST_PARTS = 2  # of a member's path: a directory and a file
_CHUNK = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_RESOURCE_FORKS = "__MACOSX/"  # directory that macOS adds to zip files


def unpack(path: Path, folder: Path, max_bytes: int) -> None:
    """Write the files of an archive into a directory.

    Only regular files are allowed, in the directory itself or one level below it.

    Args:
        path: the archive.
        folder: an existing, empty directory.
        max_bytes: maximum size of all files.

    Raises:
        ArchiveError: if the archive is damaged or has a forbidden member; the message names the member.
        OSError: if the directory cannot be written.
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
        RuntimeError,  # encrypted member of a zip file, or unknown compression
        ValueError,
    ) as error:
        raise ArchiveError(f"{path} is damaged, or is not an archive (.tar.gz, .zip): {error}") from error


def _unpack_tar(path: Path, compressed: bool, writer: _Writer) -> None:
    with cast("IO[bytes]", gzip.open(path) if compressed else path.open("rb")) as raw:
        # The stream is limited because a header alone could unpack to any size.
        limited = _Limited(raw, path, writer.left + _CHUNK)
        with tarfile.open(fileobj=limited, mode="r|") as archive:  # type: ignore[call-overload]  # reads only
            for member in archive:
                if member.isdir():
                    continue
                content = archive.extractfile(member) if member.isreg() else None
                if content is None:
                    raise ArchiveError(f"{path} is refused: {member.name!r} is not a regular file.")
                writer.write(member.name, content)


def _unpack_zip(path: Path, writer: _Writer) -> None:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.is_dir() or member.filename.startswith(_RESOURCE_FORKS):
                continue
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):
                raise ArchiveError(f"{path} is refused: {member.filename!r} is not a regular file.")
            with archive.open(member) as content:
                writer.write(member.filename, content)


@dataclass
class _Writer:
    """A directory that members are written into, within limits."""

    path: Path
    folder: Path
    left: int
    members: int = 0

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
                        raise ArchiveError(f"{self.path} is refused: it unpacks to more than a model.")
                    file.write(chunk)
        except FileExistsError as error:
            raise ArchiveError(f"{self.path} is refused: it has two members {name!r}.") from error

    def _target(self, name: str) -> Path:
        inside = PurePosixPath(name)
        parts = inside.parts
        if inside.is_absolute() or ".." in parts or "\\" in name or not 1 <= len(parts) <= _MOST_PARTS:
            raise ArchiveError(
                f"{self.path} is refused: {name!r} is not in its root, or in a directory there."
            )
        return self.folder / inside


@dataclass
class _Limited:
    """A file of which a limited number of bytes may be read."""

    file: IO[bytes]
    path: Path
    left: int

    def read(self, size: int) -> bytes:
        data = self.file.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise ArchiveError(f"{self.path} is refused: it unpacks to more than a model.")
        return data
