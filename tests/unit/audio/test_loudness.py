"""The loudness meter finds what EBU Tech 3341 expects of its synthetic signals for stereo."""

from __future__ import annotations

import numpy as np
import pytest

from spleeter_microservice.arrays import Waveform
from spleeter_microservice.audio.loudness import LoudnessMeter


def tone(level: float, seconds: float, rate: int) -> Waveform:
    """Return a sine of 1 kHz in both channels, whose peak has a level in dB relative to full scale."""
    time = np.arange(round(seconds * rate)) / rate
    one = 10 ** (level / 20) * np.sin(2 * np.pi * 1000 * time)
    return np.stack([one, one], axis=1).astype(np.float32)


def measured(parts: list[tuple[float, float]], rate: int = 44100) -> float | None:
    meter = LoudnessMeter(rate)
    for level, seconds in parts:
        meter.add(tone(level, seconds, rate))
    return meter.result()


@pytest.mark.parametrize(
    ("parts", "loudness", "rate"),
    [
        pytest.param([(-23, 20)], -23, 48000, id="1"),
        pytest.param([(-33, 20)], -33, 44100, id="2"),
        pytest.param([(-36, 10), (-23, 60), (-36, 10)], -23, 44100, id="3"),
        pytest.param([(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], -23, 44100, id="4"),
        pytest.param([(-26, 20), (-20, 20.1), (-26, 20)], -23, 44100, id="5"),
        pytest.param([(-23, 1.234)], -23, 44100, id="not whole tenths of a second"),
    ],
)
def test_the_signals_of_ebu_tech_3341_have_the_stated_loudness(
    parts: list[tuple[float, float]], loudness: float, rate: int
) -> None:
    assert measured(parts, rate) == pytest.approx(loudness, abs=0.1)


def test_one_channel_is_half_as_loud_as_two() -> None:
    meter = LoudnessMeter(44100, channels=1)
    meter.add(tone(-23, 1, 44100)[:, :1])
    assert meter.result() == pytest.approx(-26, abs=0.1)


def test_blocks_of_any_length_give_the_same() -> None:
    meter = LoudnessMeter(44100)
    song = tone(-20, 3, 44100)
    for block in np.split(song, [1, 5, 40000, 100000]):
        meter.add(block)
    assert meter.result() == measured([(-20, 3)])


@pytest.mark.parametrize("parts", [[], [(-20, 0.3)], [(-90, 5)]], ids=["nothing", "0.3 s", "silence"])
def test_what_is_too_short_or_too_quiet_has_no_loudness(parts: list[tuple[float, float]]) -> None:
    assert measured(parts) is None
