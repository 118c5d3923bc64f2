"""A result that is none is told apart from a separation."""

import numpy as np
import pytest
from numpy.typing import NDArray

from spleeter_microservice.separation.measurements import Measurements, Meter

Waveform = NDArray[np.float32]


def noise(seed: int, level: float = 0.1) -> Waveform:
    return (level * np.random.default_rng(seed).standard_normal((2, 20000))).astype(np.float32)


def measured(
    mix: Waveform, stems: list[Waveform], covered: Waveform | None = None, error: float = 0.1
) -> Measurements:
    """Measure in two pieces; the stems are to add up to ``covered``, by default the mix."""
    meter = Meter(len(stems))
    covered = mix if covered is None else covered
    for part in (slice(0, 7000), slice(7000, None)):
        meter.add(
            mix[:, part], [stem[:, part] for stem in stems], covered[:, part], [(1.0, error)] * len(stems)
        )
    return meter.result()


def test_a_separation_has_no_anomalies() -> None:
    a, b = noise(0), noise(1, 0.05)
    found = measured(a + b, [a, b])
    assert found.anomaly is None
    assert [stem.anomaly for stem in found.stems] == [None, None]
    assert found.stems[0].level == pytest.approx(-20, abs=0.1)
    assert found.stems[0].energy_share == pytest.approx(0.8, abs=0.01)
    assert found.stems[0].correlation == pytest.approx(np.sqrt(0.8), abs=0.02)
    assert found.level == pytest.approx(10 * np.log10(0.0125), abs=0.1)
    assert found.residual is None or found.residual < -100


def test_a_stem_that_equals_the_mix_is_an_anomaly() -> None:
    mix = noise(0)
    found = measured(mix, [mix.copy(), noise(1, 1e-4)])
    assert found.stems[0].anomaly == "the stem equals the mix"


def test_a_stem_that_equals_the_mix_below_the_last_bin_is_an_anomaly() -> None:
    low, high = noise(0), noise(1, 0.01)  # as if noise(1) lay above the last bin
    found = measured(low + high, [low, np.zeros_like(low)], covered=low)
    assert found.stems[0].anomaly == "the stem equals the mix"
    assert found.stems[1].anomaly == "the stem is silent while the mix is not"
    assert found.anomaly is None
    assert found.residual == found.expected_residual == pytest.approx(-20, abs=0.2)


def test_stems_that_all_equal_the_mix_are_anomalies() -> None:
    mix = noise(0)
    found = measured(mix, [mix.copy(), mix.copy()])
    assert [stem.anomaly for stem in found.stems] == ["the stem equals the mix"] * 2
    assert found.anomaly == "the stems do not sum to the mix"


def test_energy_that_is_in_no_stem_is_an_anomaly() -> None:
    a, b = noise(0), noise(1)
    assert measured(a + b, [a, 0.5 * b]).anomaly == "the stems do not sum to the mix"
    loud = noise(2, 1)  # above the last bin, it hides nothing below
    assert measured(a + b + loud, [a, 0.5 * b], covered=a + b).anomaly == "the stems do not sum to the mix"


def test_silence_is_not_an_anomaly() -> None:
    found = measured(np.zeros((2, 20000), np.float32), [np.zeros((2, 20000), np.float32)] * 2)
    assert found.level is None
    assert found.anomaly is None
    assert [stem.anomaly for stem in found.stems] == [None, None]


def test_a_stem_of_a_quiet_mix_is_compared_with_the_mix() -> None:
    a, b = noise(0, 1e-3), noise(1, 3e-5)
    assert [stem.anomaly for stem in measured(a + b, [a, b]).stems] == [None, None]
    silent = measured(a, [0.7 * a, 1e-4 * b]).stems[1]
    assert silent.anomaly == "the stem is silent while the mix is not"


def test_a_mix_at_full_scale_is_not_silent() -> None:
    square = np.sign(noise(0))
    found = [stem.anomaly for stem in measured(square, [square, 0 * square]).stems]
    assert found == ["the stem equals the mix", "the stem is silent while the mix is not"]


def test_stems_that_are_no_numbers_are_an_anomaly() -> None:
    a, broken = noise(0), noise(1)
    broken[0, 5] = np.nan
    found = measured(a, [a, broken])
    assert found.stems[1].anomaly == "the stem has samples that are not finite numbers"


def test_samples_beyond_full_scale_are_counted() -> None:
    stem = noise(0, 0.01)
    stem[0, :3] = 1.5, -2.0, 1.0
    found = measured(stem, [stem, np.zeros_like(stem)])
    assert found.stems[0].beyond_full_scale == 2
    assert found.stems[0].peak == 2.0


@pytest.mark.parametrize(
    ("error", "quality"),
    [(1.0, "low"), (0.45, "low"), (0.4, "fair"), (0.12, "fair"), (0.1, "good"), (0.0, None)],
)
def test_the_quality_is_estimated_from_the_expected_error(error: float, quality: str | None) -> None:
    a, b = noise(0), noise(1)
    found = measured(a + b, [a, b], error=error).stems
    assert [stem.estimated_quality for stem in found] == [quality, quality]


def test_no_quality_is_estimated_of_quiet_songs_and_of_anomalies() -> None:
    a, b = noise(0, 0.01), noise(1, 0.01)
    assert [stem.estimated_quality for stem in measured(a + b, [a, b]).stems] == [None, None]
    silent = measured(10 * a, [10 * a, 0 * b]).stems[1]
    assert (silent.anomaly, silent.estimated_quality) == ("the stem is silent while the mix is not", None)
