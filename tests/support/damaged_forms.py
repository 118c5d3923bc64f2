"""Damaged multipart forms with a song, the same ones each time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

_BOUNDARY = b"5c4f3e2d1b0a"
_FIELDS = {
    b"stems": b"2", b"codec": b"mp3", b"bitrate": b"192k", b"offset": b"0", b"duration": b"0.5",
    b"mwf": b"on", b"only": b"vocals", b"metadata": b'{"title": "S\xc3\xbc\xc3\x9f"}',
    b"retention_hours": b"1",
}  # fmt: skip
_NAMES = (
    b'filename="song.wav"',
    b"filename=\"=?utf-8?B?w7xiZXIud2F2?=\"; filename*=utf-8''%C3%BCber.wav",
    b"filename*0*=utf-8''%C3%BC; filename*1=ber.wav",
)
_REPLACEMENTS = (
    (b"\r\n", b"\n"), (b"\r\n\r\n", b"\r\n"), (b"form-data", b"attachment"),
    (b'name="file"', b'name="stems"'), (b'name="stems"', b'name="file"'), (b'"', b""),
    (b"; ", b";"), (b"=", b"=="), (b": ", b":"),
    (_BOUNDARY, _BOUNDARY[1:]), (_BOUNDARY + b"--", _BOUNDARY), (b"--", b"-"), (b"utf-8", b"klingon"),
    (b"filename", b"filename*"), (b"Content-Disposition", b"X" * 9000),
    (b"\r\n\r\n", b"\r\nX: y" * 99 + b"\r\n\r\n"), (b"filename*", b"filename*" + b"9" * 5000),
)  # fmt: skip
Form = tuple[str, str, bytes]
"""The name of the damage, the content type and the body."""


def damaged_forms(song: bytes, count: int, seed: int) -> Iterator[Form]:
    """Yield damaged forms, each with some of the options."""
    chance = random.Random(seed)
    for _ in range(count):
        damage = chance.choice(
            (_flipped, _cut, _overwritten, _repeated, _removed, _replaced, _revalued, _retyped)
        )
        content_type, body = damage(chance, song)
        yield damage.__name__, content_type, body


def _form(
    chance: random.Random, song: bytes, change: Callable[[bytes], bytes] = lambda value: value
) -> tuple[str, bytes]:
    parts = [
        (b'form-data; name="%s"' % name, change(_FIELDS[name]))
        for name in chance.sample(sorted(_FIELDS), chance.randrange(4))
    ]
    parts.insert(
        chance.randrange(len(parts) + 1), (b'form-data; name="file"; ' + chance.choice(_NAMES), song)
    )
    body = b"".join(
        b"--%s\r\nContent-Disposition: %s\r\n\r\n%s\r\n" % (_BOUNDARY, disposition, content)
        for disposition, content in parts
    )
    return f"multipart/form-data; boundary={_BOUNDARY.decode()}", body + b"--%s--\r\n" % _BOUNDARY


def _flipped(chance: random.Random, song: bytes) -> tuple[str, bytes]:
    """Flip some bits of the text around the song."""
    content_type, body = _form(chance, song)
    damaged, start = bytearray(body), body.index(song)
    for _ in range(chance.choice((1, 4, 16))):
        place = chance.randrange(len(body) - len(song))
        damaged[place if place < start else place + len(song)] ^= 1 << chance.randrange(8)
    return content_type, bytes(damaged)


def _cut(chance: random.Random, song: bytes) -> tuple[str, bytes]:
    content_type, body = _form(chance, song)
    return content_type, body[
        : chance.choice((chance.randrange(len(body)), len(body) - chance.randrange(40)))
    ]


def _overwritten(chance: random.Random, song: bytes) -> tuple[str, bytes]:
    content_type, body = _form(chance, song)
    start, length = chance.randrange(len(body)), chance.choice((1, 8, 200))
    return content_type, body[:start] + chance.randbytes(length) + body[start + length :]


def _repeated(chance: random.Random, song: bytes) -> tuple[str, bytes]:
    content_type, body = _form(chance, song)
    start = chance.randrange(len(body))
    return content_type, body[:start] + body[start : start + 300] * chance.choice((2, 80)) + body[start:]


def _removed(chance: random.Random, song: bytes) -> tuple[str, bytes]:
    content_type, body = _form(chance, song)
    start = chance.randrange(len(body))
    return content_type, body[:start] + body[start + chance.choice((1, 2, 30, 300)) :]


def _replaced(chance: random.Random, song: bytes) -> tuple[str, bytes]:
    content_type, body = _form(chance, song)
    old, new = chance.choice(_REPLACEMENTS)
    return content_type, body.replace(old, new, chance.choice((1, -1)))


def _revalued(chance: random.Random, song: bytes) -> tuple[str, bytes]:
    """Change the values of options."""

    def change(value: bytes) -> bytes:
        other = (b"", b"null", b"-1", b"1e999", b"NaN", b"[" * 5000, value * 3, b"\x00" + value, b"\xff")
        return chance.choice((*other, value.upper(), b" " + value, chance.randbytes(20)))

    return _form(chance, song, change)


def _retyped(chance: random.Random, song: bytes) -> tuple[str, bytes]:
    content_type, body = _form(chance, song)
    boundary = _BOUNDARY.decode()
    other = (
        "",
        f'"{boundary}"',
        boundary.upper(),
        f"{boundary}; charset=utf-16",
        "x" * 300,
        f"-{boundary}",
        '"',
    )
    return content_type.replace(boundary, chance.choice(other)), body
