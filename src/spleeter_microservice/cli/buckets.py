"""Songs from buckets, and stems to buckets, with the credentials of the caller's environment."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from spleeter_microservice.audio.codecs import CODECS
from spleeter_microservice.cli.plan import Song
from spleeter_microservice.errors import SpleeterError
from spleeter_microservice.files import needing_space
from spleeter_microservice.storage.bucket_urls import is_bucket_url, split_bucket_url


class BucketPath(Path if TYPE_CHECKING else type(Path())):  # type: ignore[misc]  # this system's class
    """A path in a bucket, which is written as a URL."""

    def __str__(self) -> str:
        return str(super().__str__().replace("\\", "/").replace(":/", "://", 1))


def named_path(text: str) -> Path:
    """Return the path of a file or a directory, or of an object or a folder in a bucket."""
    return BucketPath(text) if is_bucket_url(text) else Path(text)


def in_bucket(song: Song) -> bool:
    """Return whether a song or its stems are in a bucket."""
    return any(isinstance(path, BucketPath) for path in (song.file, *song.paths.values()))


@contextmanager
def nearby(song: Song, codec: str, check: Callable[[], None]) -> Iterator[Song]:
    """Yield a song with local files: fetched from a bucket before, and sent to one afterwards.

    Args:
        song: the song as it is named.
        codec: codec of the stems.
        check: called between the parts of files; raises to stop.

    Raises:
        BucketError: if a bucket cannot be read or written.
        DiskFullError: if the song does not fit on the disk.
    """
    if not in_bucket(song):
        yield song
        return
    outputs = {name: path for name, path in song.paths.items() if isinstance(path, BucketPath)}
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        file = song.file
        if isinstance(file, BucketPath):
            (folder / "song").mkdir()
            file = folder / "song" / file.name
            asyncio.run(_fetch(str(song.file), file, check))
        local = {name: folder / name / path.name for name, path in outputs.items()}
        try:
            yield replace(song, file=file, paths={**song.paths, **local})
        except SpleeterError as error:
            raise type(error)(str(error).replace(str(file), str(song.source))) from error
        media_type = CODECS[codec].media_type
        asyncio.run(_send({path: local[name] for name, path in outputs.items()}, media_type, check))


async def _fetch(url: str, path: Path, check: Callable[[], None]) -> None:
    from spleeter_microservice.storage.buckets import BucketObject, open_bucket

    place, key = split_bucket_url(url)
    no_space = f"No space is left for {url} in {path.parent}. Choose another with TMPDIR."
    with needing_space(no_space), path.open("xb") as file:
        async for block in BucketObject(open_bucket(place), key).chunks(sys.maxsize):
            check()
            file.write(block)


async def _send(files: Mapping[BucketPath, Path], media_type: str, check: Callable[[], None]) -> None:
    from spleeter_microservice.storage.buckets import BucketObject, open_bucket

    for target, path in files.items():
        check()
        place, folder = split_bucket_url(str(target.parent))
        await BucketObject(open_bucket(place), folder).put_file(
            path, target.name, {"Content-Type": media_type}
        )
