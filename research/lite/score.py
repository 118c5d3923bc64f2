"""Notes, their stems, and reading and writing of Standard MIDI Files."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Stem = Literal["drums", "bass", "piano", "other"]
STEMS: tuple[Stem, ...] = ("drums", "bass", "piano", "other")

TICKS_PER_SECOND = 960
"""Time resolution of the files that are written: 480 ticks per beat at 120 beats per minute."""

_DRUM_CHANNEL = 9
_BASSES = frozenset([*range(32, 40), 43])  # General MIDI programs: basses, and the contrabass
_PIANOS = frozenset(range(8))


@dataclass(frozen=True)
class Note:
    """One note.

    ``program`` and ``pitch`` are General MIDI's, from 0; ``program`` is -1 for drums. ``start``
    and ``length`` are in seconds, ``velocity`` from 1 to 127.
    """

    program: int
    pitch: int
    velocity: int
    start: float
    length: float

    @property
    def stem(self) -> Stem:
        """The stem that the note belongs to, by its program: track names are unreliable."""
        if self.program < 0:
            return "drums"
        if self.program in _BASSES:
            return "bass"
        return "piano" if self.program in _PIANOS else "other"


def by_stem(notes: Iterable[Note]) -> Mapping[Stem, list[Note]]:
    """Group notes by stem; stems without notes are left out."""
    groups: dict[Stem, list[Note]] = {}
    for note in notes:
        groups.setdefault(note.stem, []).append(note)
    return groups


def written(notes: Sequence[Note]) -> bytes:
    """Encode notes as a MIDI file with one track; up to 15 programs have a channel each."""
    programs = sorted({note.program for note in notes if note.program >= 0})
    free = [channel for channel in range(16) if channel != _DRUM_CHANNEL]
    channels = {program: free[i % len(free)] for i, program in enumerate(programs)} | {-1: _DRUM_CHANNEL}
    events = [(0, 0, bytes([0xC0 | channels[program], program])) for program in programs]
    for note in notes:
        channel, start = channels[note.program], round(note.start * TICKS_PER_SECOND)
        end = max(start + 1, round((note.start + note.length) * TICKS_PER_SECOND))
        events.append((start, 2, bytes([0x90 | channel, note.pitch, note.velocity])))
        events.append((end, 1, bytes([0x80 | channel, note.pitch, 0])))
    data, now = bytearray(), 0
    for time, _, message in sorted(events):
        data += _variable_length(time - now) + message
        now = time
    data += b"\x00\xff\x2f\x00"
    return struct.pack(">4sIHHH4sI", b"MThd", 6, 0, 1, 480, b"MTrk", len(data)) + bytes(data)


def _variable_length(number: int) -> bytes:
    groups = [number & 0x7F]
    while number := number >> 7:
        groups.append(number & 0x7F | 0x80)
    return bytes(reversed(groups))


def read(data: bytes) -> list[Note]:
    """Read the notes of a MIDI file, ignoring controllers and pitch bends.

    Raises:
        ValueError: if the data is not a MIDI file, or counts time in frames per second.
    """
    if data[:4] != b"MThd":
        raise ValueError("not a MIDI file")
    length, _, _, division = struct.unpack(">IHHH", data[4:14])
    if division & 0x8000:
        raise ValueError("the MIDI file counts time in frames per second, which is not supported")
    events: list[tuple[int, int, bytes]] = []
    at = 8 + length
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "big")
        if data[at : at + 4] == b"MTrk":
            events += _track(data[at + 8 : at + 8 + size])
        at += 8 + size
    return list(_notes(sorted(events, key=lambda event: event[0]), division))


def _track(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield (tick, status, data) of each event; the only meta events are tempos, with status 0xFF51."""
    at, tick, status = 0, 0, 0
    while at < len(data):
        delta, at = _read_length(data, at)
        tick += delta
        if data[at] & 0x80:
            status, at = data[at], at + 1
        if status == 0xFF:
            kind, (size, start) = data[at], _read_length(data, at + 1)
            at = start + size
            if kind == 0x51:
                yield tick, 0xFF51, data[start:at]
        elif status in {0xF0, 0xF7}:
            size, start = _read_length(data, at)
            at = start + size
        else:
            size = 1 if status & 0xF0 in {0xC0, 0xD0} else 2
            yield tick, status, data[at : at + size]
            at += size


def _read_length(data: bytes, at: int) -> tuple[int, int]:
    number = 0
    while True:
        number = number << 7 | data[at] & 0x7F
        at += 1
        if not data[at - 1] & 0x80:
            return number, at


def _notes(events: Iterable[tuple[int, int, bytes]], division: int) -> Iterator[Note]:
    seconds, last, tempo = 0.0, 0, 0.5
    programs = [0] * 16
    open_: dict[tuple[int, int], tuple[float, int]] = {}
    for tick, status, data in events:
        seconds += (tick - last) * tempo / division
        last = tick
        if status == 0xFF51:
            tempo = int.from_bytes(data, "big") / 1e6
            continue
        kind, channel = status & 0xF0, status & 0x0F
        if kind == 0xC0:
            programs[channel] = data[0]
        elif kind in {0x80, 0x90}:
            program = -1 if channel == _DRUM_CHANNEL else programs[channel]
            begun = open_.pop((channel, data[0]), None)
            if begun:
                yield Note(program, data[0], begun[1], begun[0], seconds - begun[0])
            if kind == 0x90 and data[1]:
                open_[channel, data[0]] = seconds, data[1]
