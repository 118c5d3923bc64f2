"""Damaged audio files, the same ones each time."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

Mutation = tuple[str, bytes]
"""The name of the damage, and the damaged bytes."""


def mutations(originals: Mapping[str, bytes], count: int, seed: int) -> Iterator[tuple[str, Mutation]]:
    """Yield damaged copies of the files in turn, each with the name of its original."""
    chance = random.Random(seed)
    names = sorted(originals)
    for number in range(count):
        name = names[number % len(names)]
        damage = chance.choice((_flipped, _cut, _overwritten, _spliced, _doubled, _header_extreme))
        yield name, (damage.__name__, damage(chance, originals[name], originals))


def _flipped(chance: random.Random, data: bytes, _: Mapping[str, bytes]) -> bytes:
    """Flip some bits, most of them near the beginning, where the headers are."""
    damaged = bytearray(data)
    for _number in range(chance.choice((1, 4, 32))):
        place = chance.randrange(min(len(data), chance.choice((64, 512, len(data)))))
        damaged[place] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def _cut(chance: random.Random, data: bytes, _: Mapping[str, bytes]) -> bytes:
    return data[: chance.randrange(1, len(data))]


def _overwritten(chance: random.Random, data: bytes, _: Mapping[str, bytes]) -> bytes:
    """Overwrite a section with noise, zeros or ones."""
    begin = chance.randrange(len(data))
    length = chance.choice((4, 64, 4096))
    junk = chance.choice((chance.randbytes(length), bytes(length), b"\xff" * length))
    return (data[:begin] + junk + data[begin + length :])[: len(data)]


def _spliced(chance: random.Random, data: bytes, originals: Mapping[str, bytes]) -> bytes:
    """Put another file's header in front of the rest of this one."""
    other = originals[chance.choice(sorted(originals))]
    length = chance.choice((12, 64, 512))
    return other[:length] + data[chance.choice((0, length)) :]


def _doubled(chance: random.Random, data: bytes, _: Mapping[str, bytes]) -> bytes:
    """Repeat a section."""
    begin = chance.randrange(len(data))
    stretch = data[begin : begin + chance.choice((16, 1024))]
    return data[:begin] + stretch * chance.choice((2, 20)) + data[begin:]


def _header_extreme(chance: random.Random, data: bytes, _: Mapping[str, bytes]) -> bytes:
    """Set one of the first numbers to an extreme value."""
    place = chance.randrange(4, min(len(data) - 8, 200))
    number = chance.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\0\x80"))
    return data[:place] + number + data[place + 4 :]
