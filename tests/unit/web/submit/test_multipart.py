"""Multipart forms are parsed however their bytes arrive."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spleeter_microservice.errors import InvalidFieldsError, MalformedRequestError, RequestError
from spleeter_microservice.web.submit.multipart import MAXIMUM_FIELD_BYTES, MAXIMUM_PARTS
from tests.support import forms

TYPE = "multipart/form-data; boundary=xyz"


def part(value: bytes, *, name: str = "file", filename: str | None = "a.wav", extra: str = "") -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    return (
        f'--xyz\r\nContent-Disposition: form-data; name="{name}"{file}\r\n{extra}\r\n'.encode()
        + value
        + b"\r\n"
    )


def text(name: str, value: str) -> bytes:
    return part(value.encode(), name=name, filename=None)


END = b"--xyz--\r\n"
SONG = part(b"music")


def read(
    body: bytes, content_type: str = TYPE, sizes: list[int] | None = None
) -> tuple[dict[str, str], bytes, str]:
    """Read a form that arrives in pieces; return its fields, its file and the file's name."""
    rest, chunks = body, []
    for size in sizes or []:
        chunks.append(rest[:size])
        rest = rest[size:]
    fields, content, name = forms.read([*chunks, rest], content_type)
    return dict(fields), content, name


@given(st.lists(st.integers(0, 40), max_size=30), st.binary(max_size=200))
def test_a_form_is_parsed_alike_however_it_is_split(sizes: list[int], content: bytes) -> None:
    content = content.replace(b"\r\n--xyz", b"")
    body = text("stems", "4") + part(content, filename="ü.wav") + text("codec", "✓") + END
    assert read(body, sizes=sizes) == ({"stems": "4", "codec": "✓"}, content, "ü.wav")


@pytest.mark.parametrize("content", [b"", b"\r\n", b"--xyz", b"\r\n--xy", b"\r", b"\n--xyz--", b"\0" * 1000])
def test_text_that_resembles_a_boundary_is_content(content: bytes) -> None:
    assert read(part(content) + END)[1] == content


def test_headers_are_case_insensitive_and_unknown_ones_ignored() -> None:
    body = SONG.replace(b"Content-Disposition", b"X-Other: 1\r\ncontent-DISPOSITION")
    assert read(body + END)[1] == b"music"


def test_preamble_and_epilogue_are_ignored() -> None:
    assert read(SONG + END + b"epilogue\r\n--xyz\r\n")[1] == b"music"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", TYPE),
        (SONG, TYPE),
        (SONG + END[:-3], TYPE),
        (SONG[:30], TYPE),
        (b"music", TYPE),
        (SONG + END, "multipart/form-data"),
        (SONG + END, "multipart/form-data; boundary="),
        (SONG + END, "multipart/form-data; boundary=other"),
        (SONG + END, f"multipart/form-data; boundary={'x' * 1000}"),
        (SONG.replace(b"form-data", b"attachment") + END, TYPE),
        (SONG.replace(b'name="file"; ', b"") + END, TYPE),
        (b"--xyz\r\n\r\nmusic\r\n" + END, TYPE),
        (part(b"\xff", name="codec", filename=None) + SONG + END, TYPE),
        (part(b"x", extra="A" * 10_000 + ": b\r\n") + END, TYPE),
        (part(b"x", extra="a: b\r\n" * 100) + END, TYPE),
    ],
)
def test_a_body_that_is_not_a_form_is_malformed(body: bytes, content_type: str) -> None:
    with pytest.raises(MalformedRequestError):
        read(body, content_type)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (text("codec", "wav"), "file"),
        (SONG + SONG, "file"),
        (SONG + part(b"x", name="cover"), "cover"),
        (SONG + text("metadata", "x" * (MAXIMUM_FIELD_BYTES + 1)), "metadata"),
        (SONG + b"".join(text(str(i), "") for i in range(MAXIMUM_PARTS)), str(MAXIMUM_PARTS - 1)),
    ],
)
def test_missing_and_excessive_content_is_refused_by_field(body: bytes, field: str) -> None:
    with pytest.raises(InvalidFieldsError) as caught:
        read(body + END)
    assert [*caught.value.fields] == [field]


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_parser(body: bytes) -> None:
    for content in (body, SONG[:40] + body, SONG + body):
        with contextlib.suppress(RequestError):
            read(content)
