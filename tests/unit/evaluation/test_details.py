"""Details are the scores of the parts of a song that they name."""

import math

import numpy as np
import pytest

from spleeter_microservice.evaluation.details import DetailMeter

RATE = 44100
BORDER = 512 * 1024 - 4096  # official Spleeter puts a frame of silence before a song


def test_a_distortion_is_found_where_it_is() -> None:
    time = np.arange(13 * RATE) / RATE
    reference = np.stack([np.sin(2 * np.pi * f * time) for f in (100, 1000, 5000, 15000)]).sum(axis=0)
    reference = np.stack([reference, reference]).astype(np.float32)

    factors = np.full(len(time), 0.9, np.float32)
    factors[: RATE // 4] = 0.5
    factors[-RATE // 4 :] = 0.4
    factors[BORDER - RATE // 4 : BORDER + RATE // 4] = 0.6
    meter, block = DetailMeter(RATE), 30_001
    for i in range(0, reference.shape[1], block):
        part = slice(i, i + block)
        meter.add(reference[:, part], reference[:, part] * factors[part])
    found = meter.result()
    assert len(found) == 8
    for name, factor in (("first", 0.5), ("last", 0.4), ("borders", 0.6)):
        assert found[f"sdr_{name}"] == pytest.approx(-20 * math.log10(1 - factor), abs=0.02), name
    for name in set(found) - {"sdr_first", "sdr_last", "sdr_borders"}:
        assert found[name] == pytest.approx(17, abs=2), name


def test_a_band_has_the_distortion_of_its_frequencies() -> None:
    time = np.arange(RATE) / RATE
    low, high = (np.stack([np.sin(2 * np.pi * f * time)] * 2).astype(np.float32) for f in (100, 5000))
    meter = DetailMeter(RATE)
    meter.add(low + high, low + high / np.float32(2))
    found = meter.result()
    assert found["sdr_2_11_khz"] == pytest.approx(20 * math.log10(2), abs=0.1)
    assert (found["sdr_0_250_hz"] or 0) > 40


def test_a_silent_reference_has_no_scores() -> None:
    meter = DetailMeter(RATE)
    meter.add(np.zeros((2, 5000), np.float32), np.ones((2, 5000), np.float32))
    assert set(meter.result().values()) == {None}
