"""The name of a song is the best that its client sent, however it was written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spleeter_microservice.web.submit.file_name import UNNAMED, best_name, displayed_name
from tests.support import forms

BASE64 = "=?utf-8?B?w7xiZXIud2F2?="


def read(
    part: bytes, boundary: str = "xyz", content_type: str = ""
) -> tuple[str, bytes, list[tuple[str, str]]]:
    """Read a form of this part and return the displayed name, the content and the fields of the form."""
    kind = content_type or f"multipart/form-data; boundary={boundary}"
    fields, content, name = forms.read([part + f"--{boundary}--\r\n".encode()], kind)
    return displayed_name(name), content, fields


def named(parameters: str | bytes) -> str:
    head = b'--xyz\r\nContent-Disposition: form-data; name="file"; '
    written = parameters if isinstance(parameters, bytes) else parameters.encode()
    return read(head + written + b"\r\n\r\nmusic\r\n")[0]


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ("filename=song.wav", "song.wav"),
        (f"filename=\"{BASE64}\"; filename*=utf-8''%C3%BCber.wav", "über.wav"),
        (f"filename*=utf-8''%C3%BCber.wav; filename=\"{BASE64}\"", "über.wav"),
        ("filename=\"?ber.wav\"; filename*=\"UTF-8''%C3%BCber.wav\"", "über.wav"),
        ("filename*=iso-8859-1'de'%FCber.wav", "über.wav"),
        ("filename*=%C3%BCber.wav", "über.wav"),
        ("filename*0*=utf-8''%C3%BC; filename*1=ber.wav", "über.wav"),
        ("filename=\"song.wav\"; filename*=klingon''q.wav", "song.wav"),
        ("filename=\"song.wav\"; filename*=utf-8''%FC.wav", "song.wav"),
        ("filename=\"song.wav\"; filename*=''", "song.wav"),
        ("filename=song.wav; filename*=a; filename*0=b", "song.wav"),
        (f"filename=song.wav; filename*{'9' * 3000}=b", "song.wav"),
        (f'filename="{BASE64}"', "über.wav"),
        ('filename="=?UTF-8?Q?=C3=BCber_uns.wav?="', "über uns.wav"),
        ('filename="=?iso-8859-1?q?=FCber?= =?iso-8859-1?q?_uns.wav?="', "über uns.wav"),
        ('filename="=?utf-8?B?w?="', "=?utf-8?B?w?="),
        ('filename="=?klingon?Q?q?="', "=?klingon?Q?q?="),
        ('filename="=?îutf-8?B?w7xi?="', "=?îutf-8?B?w7xi?="),
        ('filename="%C3%BCber%20uns.wav"', "über uns.wav"),
        ('filename="%FCber.wav"', "%FCber.wav"),
        ('filename="100% live.wav"', "100% live.wav"),
        ('filename="so %22live%22%0A.wav"', 'so "live".wav'),
        ('filename="so \\"live\\".wav"', 'so "live".wav'),
        ('filename="über; uns.wav"', "über; uns.wav"),
        ('filename="über.wav"'.encode("latin-1"), "über.wav"),
        ("filename=“über”.wav".encode("cp1252"), "“über”.wav"),
        ('filename="C:\\Music\\song.wav"', "song.wav"),
        ('filename="C:\\\\Music\\\\song.wav"', "song.wav"),
        ('filename="\\\\host\\share\\song.wav"', "song.wav"),
        ('filename="/etc/song.wav"', "song.wav"),
        ('filename="..%2F..%2Fsong.wav"', "song.wav"),
        ('filename="song.wav  "', "song.wav"),
        ('filename="so\x7f\x1bng.wav"', "song.wav"),
        ('filename="%00.wav"', ".wav"),
        ('filename="blob"', "blob"),
        ('filename=""', UNNAMED),
        ('filename=" "', UNNAMED),
        (f'filename="{"x" * 300}.wav"', "x" * 255),
    ],
)  # fmt: skip
def test_the_best_name_is_shown(parameters: str | bytes, name: str) -> None:
    assert named(parameters) == name


def test_a_part_without_a_name_of_a_file_is_none() -> None:
    assert best_name('form-data; name="stems"', None) is None


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_search_for_a_name(raw: bytes) -> None:
    for parameter in (b"filename*=" + raw, b"=?utf-8?q?" + raw, b"filename*0*=" + raw):
        shown = displayed_name(best_name("form-data; " + parameter.decode("latin-1"), raw) or "")
        assert shown
        assert shown.isprintable() or not any(ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 for c in shown)


# How a client writes the song "über uns.wav", beside a field: its boundary, the headers of the part of the
# field, and those of the song.
CLIENTS: dict[str, tuple[str, list[str], list[str]]] = {
    "curl": (
        "------------------------d74496d66958873e",
        ['Content-Disposition: form-data; name="stems"'],
        [
            'Content-Disposition: form-data; name="file"; filename="über uns.wav"',
            "Content-Type: application/octet-stream",
        ],
    ),
    "Chrome": (
        "----WebKitFormBoundary7MA4YWxkTrZu0gW",
        ['Content-Disposition: form-data; name="stems"'],
        ['Content-Disposition: form-data; name="file"; filename="über uns.wav"', "Content-Type: audio/wav"],
    ),
    "Firefox": (
        "----geckoformboundary4f2a6b1c8d3e5f70",
        ['Content-Disposition: form-data; name="stems"'],
        ['Content-Disposition: form-data; name="file"; filename="über uns.wav"', "Content-Type: audio/x-wav"],
    ),
    ".NET": (
        '"5f3c1b2a-9d8e-4c7b-a6f5-0e1d2c3b4a59"',
        ["Content-Type: text/plain; charset=utf-8", "Content-Disposition: form-data; name=stems"],
        [
            'Content-Disposition: form-data; name=file; filename="=?utf-8?B?w7xiZXIgdW5zLndhdg==?="; '
            "filename*=utf-8''%C3%BCber%20uns.wav"
        ],
    ),
    "Go": (
        "a3f0c9e2b7d64185f0c9e2b7d64185a3f0c9e2b7d64185f0c9e2b7d64185",
        ['Content-Disposition: form-data; name="stems"'],
        [
            'Content-Disposition: form-data; name="file"; filename="über uns.wav"',
            "Content-Type: application/octet-stream",
        ],
    ),
    "Java, by hand": (
        "Boundary-1732680000000",
        ['Content-Disposition: form-data; name="stems"', "Content-Type: text/plain; charset=UTF-8"],
        [
            'Content-Disposition: form-data; name="file"; filename="über uns.wav"',
            "Content-Type: audio/wav",
        ],
    ),
    "Apache HttpClient 4": (
        "oC2v7mG1tN4xQ9wZ-kJ3_hR8sL5dF0pB",
        [
            'Content-Disposition: form-data; name="stems"',
            "Content-Type: text/plain; charset=ISO-8859-1",
            "Content-Transfer-Encoding: 8bit",
        ],
        [
            'Content-Disposition: form-data; name="file"; filename="über uns.wav"',
            "Content-Type: application/octet-stream",
            "Content-Transfer-Encoding: binary",
        ],
    ),
    "Apache HttpClient 5": (
        "oC2v7mG1tN4xQ9wZ-kJ3_hR8sL5dF0pB",
        ['Content-Disposition: form-data; name="stems"', "Content-Type: text/plain; charset=UTF-8"],
        [
            'Content-Disposition: form-data; name="file"; filename="%C3%BCber%20uns.wav"; '
            "filename*=\"UTF-8''%C3%BCber%20uns.wav\"",
            "Content-Type: application/octet-stream",
        ],
    ),
    "Spring": (
        "c4nK2sWm8xQz1vB",
        ['Content-Disposition: form-data; name="stems"', "Content-Type: text/plain;charset=UTF-8"],
        [
            'Content-Disposition: form-data; name="file"; filename="=?UTF-8?Q?=C3=BCber_uns.wav?="; '
            "filename*=UTF-8''%C3%BCber%20uns.wav",
            "Content-Type: audio/x-wav",
            "Content-Length: 5",
        ],
    ),
    "OkHttp": (
        "3f8e2d1c-5b4a-4978-8695-a4b3c2d1e0f9",
        ['Content-Disposition: form-data; name="stems"', "Content-Length: 1"],
        [
            'Content-Disposition: form-data; name="file"; filename="über uns.wav"',
            "Content-Type: audio/wav",
            "Content-Length: 5",
        ],
    ),
    "aiohttp": (
        "5c1a7e9b3d2f4068",
        ['Content-Disposition: form-data; name="stems"', "Content-Type: text/plain; charset=utf-8"],
        [
            'Content-Disposition: form-data; name="file"; filename="%C3%BCber%20uns.wav"',
            "Content-Type: application/octet-stream",
        ],
    ),
    "Dart": (
        "dart-http-boundary-xP9+hQ3rT7vW1yZ",
        ['content-disposition: form-data; name="stems"'],
        [
            "content-type: application/octet-stream",
            'content-disposition: form-data; name="file"; filename="über uns.wav"',
        ],
    ),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_the_same_song_has_the_same_name_from_every_client(client: str) -> None:
    quoted, field, song = CLIENTS[client]
    boundary = quoted.strip('"')
    body = "".join(
        "\r\n".join([f"--{boundary}", *headers, "", content, ""])
        for headers, content in ((field, "4"), (song, "music"))
    )
    content_type = f"multipart/form-data; boundary={quoted}"
    assert read(body.encode(), boundary, content_type) == ("über uns.wav", b"music", [("stems", "4")])
