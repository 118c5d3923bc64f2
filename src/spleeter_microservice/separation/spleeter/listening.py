"""What the networks hear of a song beyond its segments, and at which level.

Official Spleeter cuts a song into segments and surrounds it with silence, whatever its level; the networks
are least certain at these borders, with quiet songs and with an offset that music does not have. Decision 23
has the measurements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np

from spleeter_microservice.arrays import Array, Waveform
from spleeter_microservice.separation.spleeter.spectrogram import Segment, hann

_QUIET = 10 ** (-27 / 20)
"""Root mean square below which a song is raised, 1 being full scale."""
_RAISED = 10 ** (-19 / 20)
"""Root mean square that it is raised to, within 1.5 dB."""
_MAX_DOUBLINGS = 10
_SURELY_LOUD = 300.0
"""Seconds that a song may last at least without being quiet, once listening ends early."""
_AT_LEAST = 10.0
"""Seconds to listen to; the mean of less may be that of a single low note."""
_MIN_OFFSET = 0.05
"""Least offset that is removed, relative to the root mean square."""
_SHORTEST = 0.1
"""Seconds that a song must last at least for its mean to count as an offset."""


@dataclass(frozen=True)
class Listening:
    """What is done to a song for the networks alone; the stems still sum to the song.

    Attributes:
        gain: factor of the networks' input, a whole power of the square root of two.
        offset: constant to subtract from each channel, shape (2,), of so few bits that it can be added again
            without rounding samples of 24 bits.
    """

    gain: float = 1.0
    offset: Array | None = None


def listen(blocks: Iterable[Waveform], sample_rate: int) -> Listening:
    """Measure a song, as far as necessary: a loud one's beginning is enough.

    Args:
        blocks: the song in blocks of shape (samples, 2).
        sample_rate: samples per second.
    """
    samples, energy, total = 0, 0.0, np.zeros(2)
    for block in blocks:
        samples += len(block)
        energy += float(np.vdot(block, block))
        total += block.sum(axis=0, dtype=np.float64)
        varying = energy - float(total @ total) / samples
        if samples >= _AT_LEAST * sample_rate and varying >= 2 * _QUIET**2 * _SURELY_LOUD * sample_rate:
            samples_if_quiet = _SURELY_LOUD * sample_rate
            break
    else:
        samples_if_quiet = samples
    if not samples:
        return Listening()
    mean = total / samples
    level = np.sqrt(max(0.0, varying) / (2 * samples))
    quiet = 0 < varying < 2 * _QUIET**2 * samples_if_quiet
    doublings = min(_MAX_DOUBLINGS, round(2 * np.log2(_RAISED / level)) / 2) if quiet else 0
    shifted = samples >= _SHORTEST * sample_rate and np.abs(mean).max() > max(_MIN_OFFSET * level, 1e-9)
    mantissa, exponent = np.frexp(mean)
    few_bits = np.ldexp(np.round(mantissa * 2**16), exponent - 16).astype(np.float32)
    return Listening(2.0**doublings, few_bits if shifted else None)


def surrounded(
    blocks: Iterable[Waveform],
    before: Waveform,
    after: Waveform,
    margin: int,
    ended: Callable[[int], None],
) -> Iterator[Waveform]:
    """Yield a song between what the networks should hear before and after it.

    Args:
        blocks: the song in blocks of shape (samples, 2).
        before: samples that precede it in a longer song; if they are fewer than the margin, the song's
            reflection replaces them.
        after: samples that follow it; the same applies to them.
        margin: number of samples to reflect.
        ended: called with the number of the song's samples before what follows it is yielded.
    """
    rest, first = iter(blocks), np.empty((0, 2), np.float32)
    while len(first) <= margin and (block := next(rest, None)) is not None:
        first = np.concatenate([first, block])
    if not len(first):
        return
    yield before if len(before) >= margin else _padded(first[: margin + 1], (margin, 0))[:margin]
    length, last = 0, first[:0]
    for block in chain([first], rest):
        length += len(block)
        last = np.concatenate([last, block])[-margin - 1 :]
        yield block
    ended(length)
    yield after if len(after) >= margin else _padded(last, (0, margin))[-margin:]


def _padded(waveform: Waveform, widths: tuple[int, int]) -> Waveform:
    return np.pad(waveform, (widths, (0, 0)), mode="reflect")


def overlapping(segments: Iterable[Segment]) -> Iterator[tuple[Segment, Array]]:
    """Yield windows of the magnitudes: each segment, and between two of them the half of each.

    The last window ends where the song does, instead of being filled up with silence.
    """
    previous = None
    ends: Sequence[Segment | None] = [None]
    for segment, following in pairwise(chain(segments, ends)):
        assert segment is not None
        if previous is not None and following is None:
            yield segment, _between(previous, segment, segment.frames)
        else:
            yield segment, segment.magnitude
        if following is not None:
            yield segment, _between(segment, following, segment.frames // 2)
        previous = segment


def _between(first: Segment, second: Segment, start: int) -> Array:
    both = np.concatenate([first.magnitude, second.magnitude], axis=2)
    return both[:, :, start : start + first.magnitude.shape[2]]


def blended(outputs: Iterator[tuple[Segment, list[Array]]]) -> Iterator[tuple[Segment, list[Array]]]:
    """Yield each segment's outputs, mixed with those of the windows that begin and end within it.

    Args:
        outputs: the networks' outputs for each window of ``overlapping``, whose last axis but one is time.
    """
    before: list[Array] = []
    for segment, own in outputs:
        frames = own[0].shape[-2]
        half = frames // 2
        rising = hann(frames)[:half, np.newaxis]
        if before and segment.last:
            own = [np.roll(output, segment.frames, axis=-2) for output in own]
        for output, earlier in zip(own, before, strict=False):
            output[..., :half, :] = _mixed(output[..., :half, :], earlier[..., half:, :], rising)
        if not segment.last:
            _, before = next(outputs)
            for output, later in zip(own, before, strict=True):
                output[..., half:, :] = _mixed(output[..., half:, :], later[..., :half, :], rising[::-1])
        yield segment, own


def _mixed(one: Array, other: Array, weight: Array) -> Array:
    mixed: Array = other + (one - other) * weight
    return mixed
