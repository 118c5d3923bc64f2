"""Archives are written while they are sent."""

import asyncio
import io
import zipfile
import zlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spleeter_microservice.web.downloads.zip_stream import Member, ZipStream

MOMENT = datetime(2026, 2, 3, 4, 5, 7, tzinfo=UTC)
_ZEROS = bytes(64 << 20)


def member(name: str, content: bytes) -> Member:
    async def blocks() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 7):
            yield content[start : start + 7]

    return Member(name, len(content), zlib.crc32(content), blocks)


def written(stream: ZipStream) -> bytes:
    async def read() -> bytes:
        return b"".join([block async for block in stream])

    return asyncio.run(read())


@given(
    st.dictionaries(
        st.from_regex(r"[a-zé日]{1,9}(/[a-z]{1,3})?\.wav", fullmatch=True), st.binary(max_size=99)
    )
)
def test_an_archive_contains_its_members(files: dict[str, bytes]) -> None:
    stream = ZipStream([member(name, content) for name, content in files.items()], MOMENT)
    archive = written(stream)
    assert len(archive) == stream.size
    with zipfile.ZipFile(io.BytesIO(archive)) as reader:
        assert reader.testzip() is None
        assert {name: reader.read(name) for name in reader.namelist()} == files
        for info in reader.infolist():
            assert info.date_time == (2026, 2, 3, 4, 5, 6)
            assert info.compress_type == zipfile.ZIP_STORED
            assert info.flag_bits == 0x800
            assert info.external_attr >> 16 == 0o100644


def zeros(name: str, size: int) -> Member:
    """Return a member that consists of zeros."""

    async def blocks() -> AsyncIterator[bytes]:
        for start in range(0, size, len(_ZEROS)):
            yield _ZEROS[: size - start]

    crc32 = zlib.crc32(bytes(size)) if size < 10 else 0  # the large ones are never read
    return Member(name, size, crc32, blocks)


def write_sparsely(stream: ZipStream, path: Path) -> None:
    """Write an archive to a file, blocks of zeros as holes."""

    async def write() -> None:
        with path.open("wb") as file:
            async for block in stream:
                if block.startswith(bytes(100)):
                    file.seek(len(block), io.SEEK_CUR)
                else:
                    file.write(block)

    asyncio.run(write())


@pytest.mark.parametrize(
    ("sizes", "large"),
    [
        ((0xFFFF_FFFE,), [False]),
        ((0xFFFF_FFFF,), [True]),
        ((5 << 30, 3), [True, True]),
        ((3 << 30, 3 << 30, 5), [False, False, True]),
    ],
)
def test_a_large_archive_uses_zip64_where_needed(
    sizes: tuple[int, ...], large: list[bool], tmp_path: Path
) -> None:
    stream = ZipStream([zeros(f"{k}.wav", size) for k, size in enumerate(sizes)], MOMENT)
    path = tmp_path / "large.zip"
    write_sparsely(stream, path)
    assert path.stat().st_size == stream.size
    with zipfile.ZipFile(path) as reader:
        assert tuple(info.file_size for info in reader.infolist()) == sizes
        assert [info.extract_version == 45 for info in reader.infolist()] == large
        last = reader.infolist()[-1]
        with reader.open(last) as file:  # reads the local header, and compares it
            assert file.read(3) == bytes(3)


@pytest.mark.parametrize(
    ("moment", "shown"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), (1980, 1, 1, 0, 0, 0)),
        (datetime(2200, 1, 1, tzinfo=UTC), (2107, 12, 31, 0, 0, 0)),
    ],
)
def test_a_time_outside_the_format_s_range_becomes_the_nearest_one(
    moment: datetime, shown: tuple[int, ...]
) -> None:
    archive = written(ZipStream([member("a", b"")], moment))
    with zipfile.ZipFile(io.BytesIO(archive)) as reader:
        assert reader.infolist()[0].date_time == shown


def test_aborting_closes_the_file_being_read() -> None:
    closed = []

    def opened(name: str) -> Callable[[], AsyncIterator[bytes]]:
        async def blocks() -> AsyncIterator[bytes]:
            try:
                yield b"1"
                yield b"2"
            finally:
                closed.append(name)

        return blocks

    async def give_up() -> None:
        blocks = aiter(ZipStream([Member("a", 2, 0, opened("a")), Member("b", 2, 0, opened("b"))], MOMENT))
        await anext(blocks)
        await anext(blocks)
        await blocks.aclose()  # type: ignore[attr-defined]

    asyncio.run(give_up())
    assert closed == ["a"]
