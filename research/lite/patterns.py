"""Pieces composed by rule, in styles such as rock, pop, metal, hip-hop and electronic dance music."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from research.lite.score import Note

HELD_OUT = frozenset({"funk"})
"""Styles that are never trained on."""

_KICK, _STICK, _SNARE, _CLAP, _CLOSED, _OPEN, _CRASH, _RIDE = 36, 37, 38, 39, 42, 46, 49, 51
_TOMS = (50, 48, 47, 45, 43, 41)
_MINOR, _MAJOR = (0, 3, 7), (0, 4, 7)
_DEGREES = (
    ((0, _MAJOR), (7, _MAJOR), (9, _MINOR), (5, _MAJOR)),
    ((9, _MINOR), (5, _MAJOR), (0, _MAJOR), (7, _MAJOR)),
    ((0, _MINOR), (8, _MAJOR), (3, _MAJOR), (10, _MAJOR)),
    ((0, _MINOR), (0, _MINOR), (5, _MINOR), (7, _MINOR)),
    ((0, _MAJOR), (5, _MAJOR), (7, _MAJOR), (5, _MAJOR)),
    ((0, _MINOR), (10, _MAJOR), (8, _MAJOR), (7, _MAJOR)),
    ((2, _MINOR), (7, _MAJOR), (0, _MAJOR), (9, _MINOR)),
    ((0, _MAJOR), (10, _MAJOR), (5, _MAJOR), (0, _MAJOR)),
)
Chord = tuple[int, tuple[int, ...]]


@dataclass(frozen=True)
class Style:
    """The common traits of a style's pieces.

    A rhythm is a string of 16 characters, one per sixteenth of a bar: ``x`` is a hit, ``?`` an optional one.
    ``basses``, ``chords`` and ``leads`` are General MIDI programs; ``tempo`` is a range in beats per minute.
    """

    tempo: tuple[int, int]
    kicks: Sequence[str]
    snares: Sequence[str]
    hats: Sequence[str]
    basses: Sequence[int]
    bass_lines: Sequence[str]
    chords: Sequence[int]
    leads: Sequence[int]
    swing: float = 0.0


_ROOTS = ("x.x.x.x.x.x.x.x.", "x...x...x...x...", "x..x..x.x..x..x.", "x.......x.......", "xxxxxxxxxxxxxxxx")
_EIGHTHS, _SIXTEENTHS, _QUARTERS, _OFFBEATS = (
    "x.x.x.x.x.x.x.x.",
    "xxxxxxxxxxxxxxxx",
    "x...x...x...x...",
    "..x...x...x...x.",
)
_BACKBEAT = "....x.......x..."
STYLES = {
    "rock": Style(
        (95, 165),
        ("x.....?.x.x...?.", "x...?...x.x...?.", "x.x...x...x....."),
        (_BACKBEAT,),
        (_EIGHTHS, _QUARTERS),
        (33, 34, 33),
        _ROOTS,
        (29, 30, 30, 27, 29, 0),
        (29, 30, 16, 26),
    ),
    "pop": Style(
        (80, 130),
        ("x......xx.......", "x...x...x...x...", "x.......x.?....."),
        (_BACKBEAT,),
        (_EIGHTHS, _SIXTEENTHS),
        (33, 34, 38, 39),
        _ROOTS,
        (0, 1, 25, 27, 4, 89, 48),
        (80, 81, 11, 73, 48, 25),
    ),
    "metal": Style(
        (120, 190),
        ("x.xxx.xxx.xxx.xx", "xxxxxxxxxxxxxxxx", "x..xx.x.x..xx.x."),
        (_BACKBEAT, "........x......."),
        (_QUARTERS, _EIGHTHS),
        (34, 33),
        ("xxxxxxxxxxxxxxxx", "x.xxx.xxx.xxx.xx", "x..xx.x.x..xx.x."),
        (30, 30, 29),
        (30, 29, 48),
    ),
    "hiphop": Style(
        (70, 105),
        ("x......x..x.....", "x..x......x..?..", "x.....x...x....."),
        (_BACKBEAT,),
        (_SIXTEENTHS, _EIGHTHS),
        (38, 39, 32, 33),
        ("x.......x.......", "x..x......x.....", "x......x..x....."),
        (4, 5, 0, 89, 11),
        (73, 80, 56, 11),
        0.12,
    ),
    "dance": Style(
        (118, 140),
        (_QUARTERS,),
        (_BACKBEAT, "................"),
        (_OFFBEATS, _SIXTEENTHS),
        (38, 39, 39),
        (_OFFBEATS, "..xx..xx..xx..xx", "x..x..x.x..x..x.", _SIXTEENTHS),
        (81, 90, 0, 50, 62, 88),
        (80, 81, 87, 84),
    ),
    "ballad": Style(
        (60, 85),
        ("x.......x.?.....", "x.........x....."),
        (_BACKBEAT, "........x......."),
        (_EIGHTHS,),
        (33, 32, 35),
        ("x...............", "x.......x.......", "x.....x.x......."),
        (0, 0, 1, 2, 48, 25, 89),
        (73, 40, 65, 71, 25),
    ),
    "reggae": Style(
        (65, 95),
        ("........x.......",),
        ("........x.......",),
        (_EIGHTHS,),
        (33, 32),
        ("x..x..x...x.x...", "..x.x...x..x...."),
        (16, 27, 0, 18),
        (16, 59, 66),
        0.08,
    ),
    "country": Style(
        (90, 150),
        (_QUARTERS, "x.......x......."),
        (_BACKBEAT, "..x...x...x...x."),
        (_EIGHTHS,),
        (32, 33, 35),
        ("x.......x.......", "x...x...x...x..."),
        (25, 24, 0, 105),
        (110, 25, 22, 105),
    ),
    "funk": Style(
        (90, 120),
        ("x.x...?..xx..?..", "x..x..x..?x....."),
        ("....x..?.?..x..?",),
        (_SIXTEENTHS,),
        (36, 37, 33),
        ("x..x.xx...x..xx.", "x.x..x..xx.x...."),
        (27, 28, 7, 5, 16),
        (61, 56, 65),
    ),
}


def compose(rng: random.Random, seconds: float, held_out: bool) -> list[Note]:
    """Compose about ``seconds`` of music in a random style, key and tempo."""
    name = rng.choice([style for style in STYLES if (style in HELD_OUT) == held_out])
    return Composer(rng, STYLES[name], seconds).notes()


class Composer:
    """Composer of one piece."""

    def __init__(self, rng: random.Random, style: Style, seconds: float) -> None:
        self._rng, self._style = rng, style
        self._step = 15 / rng.uniform(*style.tempo)
        self._bars = int(seconds / (16 * self._step)) + 1
        self._key = rng.randrange(12)
        self._bass_program = 0  # none yet
        self._loose = rng.choice((0.0, 0.003, 0.008))  # spread of the players' timing in seconds

    def notes(self) -> list[Note]:
        """Compose the piece in sections of eight bars; a player may pause for a section."""
        players: list[Callable[[int, Sequence[Chord]], list[Note]]] = [self._drums, self._bass]
        players += [
            self._chords(self._rng.choice(self._style.chords))
            for _ in range(self._rng.choice((1, 1, 2, 2, 3)))
        ]
        if self._rng.random() < 0.6:
            players.append(self._lead)
        self._choose_drums()
        notes: list[Note] = []
        for section in range(0, self._bars, 8):
            progression = self._rng.choice(_DEGREES)
            self._choose_lines()
            playing = [player for player in players if self._rng.random() < 0.88]
            for bar in range(section, min(section + 8, self._bars)):
                for player in playing:
                    notes += player(bar, progression)
        return notes

    def _choose_drums(self) -> None:
        style, rng = self._style, self._rng
        self._kick, self._snare, self._hat = (
            rng.choice(style.kicks),
            rng.choice(style.snares),
            rng.choice(style.hats),
        )
        self._snare_pitch = rng.choice((_SNARE, _SNARE, 40, _CLAP if style.tempo[1] <= 140 else _SNARE))
        self._hat_pitch = rng.choice((_CLOSED, _CLOSED, _RIDE, _OPEN, 70, 54))

    def _choose_lines(self) -> None:
        self._bass_line = self._rng.choice(self._style.bass_lines)
        program = self._rng.choice(self._style.basses)
        self._bass_program = self._bass_program or program  # the same bass in all sections
        self._bass_walks = self._rng.random()
        self._lead_program = self._rng.choice(self._style.leads)
        self._motif = [
            (self._rng.randrange(16), self._rng.choice((0, 2, 4, 7, 9, 12)))
            for _ in range(self._rng.randint(2, 7))
        ]

    def _note(self, program: int, pitch: int, velocity: float, bar: int, step: float, steps: float) -> Note:
        swing = self._style.swing * (int(step) % 2)
        start = (bar * 16 + step + swing) * self._step + self._rng.gauss(0, self._loose)
        level = min(127, max(20, round(self._rng.gauss(velocity, 7))))
        return Note(program, pitch, level, max(0.0, start), steps * self._step)

    def _hits(self, pattern: str) -> list[int]:
        return [
            i for i, mark in enumerate(pattern) if mark == "x" or (mark == "?" and self._rng.random() < 0.4)
        ]

    def _drums(self, bar: int, progression: Sequence[Chord]) -> list[Note]:
        fills = bar % 8 == 7 and self._rng.random() < 0.7
        last = 12 if fills else 16
        hits = [(_KICK, step, 108) for step in self._hits(self._kick)]
        hits += [(self._snare_pitch, step, 104) for step in self._hits(self._snare)]
        hits += [(self._hat_pitch, step, 92 if step % 4 == 0 else 74) for step in self._hits(self._hat)]
        hits = [hit for hit in hits if hit[1] < last]
        if fills:
            hits += [(self._rng.choice((_SNARE, *_TOMS)), step, 100) for step in range(12, 16)]
        if bar % 8 == 0:
            hits.append((_CRASH, 0, 105))
        return [self._note(-1, pitch, velocity, bar, step, 1) for pitch, step, velocity in hits]

    def _bass(self, bar: int, progression: Sequence[Chord]) -> list[Note]:
        root, tones = progression[bar % len(progression)]
        lowest = 28 + (self._key + root - 4) % 12
        steps = self._hits(self._bass_line)
        notes = []
        for step, following in zip(steps, [*steps[1:], 16], strict=True):
            walks = self._rng.random() < 0.4 * self._bass_walks
            pitch = lowest + (self._rng.choice((*tones, 12)) if walks else 0)
            notes.append(
                self._note(
                    self._bass_program, pitch, 98, bar, step, (following - step) * self._rng.uniform(0.6, 1.0)
                )
            )
        return notes

    def _chords(self, program: int) -> Callable[[int, Sequence[Chord]], list[Note]]:
        distorted = program in {29, 30}
        rhythm = self._rng.choice(
            (
                "x...............",
                "x.......x.......",
                _EIGHTHS,
                _QUARTERS,
                "x..x..x.x..x..x.",
                _OFFBEATS,
                "arpeggio",
            )
        )
        base, velocity = 40 if distorted else self._rng.choice((48, 55, 60)), self._rng.randint(70, 100)

        def play(bar: int, progression: Sequence[Chord]) -> list[Note]:
            root, tones = progression[bar % len(progression)]
            lowest = base + (self._key + root - base) % 12
            pitches = [lowest, lowest + 7, lowest + 12] if distorted else [lowest + tone for tone in tones]
            if rhythm == "arpeggio":
                order = [*pitches, pitches[0] + 12]
                return [
                    self._note(program, order[i % len(order)], velocity, bar, 2 * i, 2.5) for i in range(8)
                ]
            steps = self._hits(rhythm)
            return [
                self._note(program, pitch, velocity, bar, step, 0.9 * (following - step))
                for step, following in zip(steps, [*steps[1:], 16], strict=True)
                for pitch in pitches
            ]

        return play

    def _lead(self, bar: int, progression: Sequence[Chord]) -> list[Note]:
        root = progression[bar % len(progression)][0]
        return [
            self._note(
                self._lead_program,
                67 + (self._key + root - 67) % 12 + interval,
                96,
                bar,
                step,
                self._rng.choice((1, 2, 4)),
            )
            for step, interval in self._motif
            if self._rng.random() < 0.85
        ]
