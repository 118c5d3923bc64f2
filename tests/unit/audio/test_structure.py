"""No file can make the examination of its structure fail or take long."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spleeter_microservice.audio.parts import Part, Structure
from spleeter_microservice.audio.source import View
from spleeter_microservice.audio.structure import examine

BEGINNINGS = [
    b"RIFF\0\0\0\0WAVE",
    b"RF64\0\0\0\0WAVEds64\x1c\0\0\0",
    b"FORM\0\0\0\0AIFF",
    b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0"
    + bytes(8)
    + b"wave\xf3\xac\xd3\x11\x8c\xd1\0\xc0\x4f\x8e\xdb\x8a",
    b"caff\0\1\0\0desc\0\0\0\0\0\0\0\x20",
    b"DSD \x1c" + bytes(23) + b"fmt ",
    b"FRM8" + bytes(8) + b"DSD PROP",
    b".snd\0\0\0\x18" + bytes(7) + b"\3\0\0\xac\x44\0\0\0\2",
    b"RIFF\0\0\0\0AVI LIST",
    b"APETAGEX" + bytes(24),
    b"\0\0\0\x08ftyp",
    b"\0\0\0\x01moov",
    b"\0\0\1\0moov\0\0\1\0trak\0\0\1\0mdia\0\0\1\0minf\0\0\1\0stbl\0\0\1\0stsd",
    b"\x1a\x45\xdf\xa3",
    b"\x1a\x45\xdf\xa3\x81\x00\x18\x53\x80\x67",
    b"OggS\0",
    bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
    b"fLaC",
    b"ID3\x03\0\0",
    b"\xff\xfb\x90\x00",
    b"",
]


def structure_of(content: bytes) -> Structure:
    return examine(View(io.BytesIO(content)))


@pytest.mark.parametrize(
    "content",
    [
        b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0" + bytes(16) + b"data\0\0\0\0" + b"WAVE" * 50_000,
        b"RIFF\xff\xff\xff\xffWAVE" + b"junk\0\0\0\0" * 50_000,
        (b"RIFF\0\0\0\0WAVE" + b"junk\0\0\0\0" * 4000 + b"data\0\0\0\0") * 12,
        (b"RIFF\0\0\0\0WAVEdata\0\0\0\0" + b"junk\0\0\0\0" * 4000) * 12,
        b"\0\0\0\x10ftypM4A \0\0\0\0" + b"\0\0\0\x08free" * 50_000,
        (b"OggS\0\2" + bytes(21)) * 50_000,
        b"\0\0\0\x10ftypM4A \0\0\0\0\0\x06\x1a\x88moov" + b"\0\0\0\x08trak" * 50_000,
        b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x80" * 50_000,
    ],
    ids=[
        "marks",
        "chunks",
        "chunks before samples",
        "chunks after samples",
        "boxes",
        "pages",
        "index",
        "segments",
    ],
)
def test_a_crowd_of_tiny_parts_is_not_read_one_by_one(content: bytes) -> None:
    reads = 0

    class Counting(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            nonlocal reads
            reads += 1
            return super().read(size)

    examine(View(Counting(content)))
    assert reads < 20_000


@given(beginning=st.sampled_from(BEGINNINGS), rest=st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_any_bytes_can_be_examined(beginning: bytes, rest: bytes) -> None:
    structure_of(beginning + rest)


@given(
    beginning=st.sampled_from(BEGINNINGS),
    numbers=st.lists(st.sampled_from([b"\0", b"\1", b"\x7f", b"\xff", b"data", b"moov"]), max_size=60),
)
@settings(max_examples=300, deadline=None)
def test_numbers_at_the_limits_of_their_range_can_be_examined(beginning: bytes, numbers: list[bytes]) -> None:
    structure_of(beginning + b"".join(numbers))


def test_samples_that_begin_beyond_the_end_can_be_examined() -> None:
    structure_of(b".snd\0\0\0\xe4\xff\0\x1f\x40\0\0\0\3\0\0\xac\x44\0\0\0\2\0\0")


@pytest.mark.parametrize("header", [b"Xing", b"Info", b"VBRI"])
def test_an_mp3_that_ends_within_its_header_can_be_examined(header: bytes) -> None:
    for before in (13, 21, 36):
        content = b"\xff\xfb\x90\0".ljust(before, b"\0") + header + b"\0\0\0\x0f" + b"\1" * 16
        for end in range(len(content)):
            structure_of(content[:end])


def test_a_file_with_very_many_chunks_is_examined_without_delay() -> None:
    structure_of(b"RIFF\0\0\0\0WAVE" + b"junk\0\0\0\0" * 100_000)
    structure_of(b"\0\0\0\x08free" * 100_000)


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_the_file_is_rewound_after_the_examination(beginning: bytes) -> None:
    file = View(io.BytesIO(beginning + bytes(100)))
    examine(file)
    assert file.tell() == 0


@pytest.mark.parametrize(
    ("size", "cut_off"), [(0x81, False), (0x84, True), (0xFF, False)], ids=["whole", "cut", "unknown"]
)
def test_a_matroska_segment_of_unknown_size_is_not_cut_off(size: int, cut_off: bool) -> None:
    content = b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67" + bytes([size]) + b"x"
    assert structure_of(content).cut_off == cut_off


def test_a_position_beyond_the_end_has_no_bytes_and_is_no_error() -> None:
    view = View(io.BytesIO(b"abcdef"), Part(2, 4))
    assert [view.seek(0, whence) for whence in (0, 1, 2)] == [0, 0, 2]
    assert view.seek(1 << 62) == 1 << 62
    assert (view.read(9), view.error) == (b"", None)
    assert view.seek(-1) < 0
    assert view.seek(-1, 2) == 1
    assert view.read(9) == b"d"
