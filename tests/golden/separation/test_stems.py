"""Stems equal those of official Spleeter, which lie in ``tests/golden/data``."""

from __future__ import annotations

import numpy as np
import pytest

from spleeter_microservice.arrays import Waveform
from spleeter_microservice.library import Separator
from spleeter_microservice.settings import Settings
from tests.support.golden import DATA, read


@pytest.fixture(scope="session")
def mix() -> Waveform:
    """The golden song."""
    return read(DATA / "mix.flac")


@pytest.mark.parametrize(
    ("model", "outputs", "mwf", "steps"),
    [
        ("spleeter:2stems", "2stems", False, 1),
        ("spleeter:2stems-16kHz", "2stems-16kHz", False, 1),
        ("spleeter:2stems", "2stems-mwf", True, 2),
        ("tiny-4stems", "tiny-4stems", False, 1),
        ("tiny-5stems", "tiny-5stems", False, 1),
    ],
)
def test_stems_differ_from_those_of_official_spleeter_by_rounding_alone(
    model_settings: Settings, mix: Waveform, model: str, outputs: str, mwf: bool, steps: int
) -> None:
    if model.startswith("tiny"):
        model = str(DATA / "checkpoints" / model / "config.json")
    with Separator(model, mwf, settings=model_settings) as separator:
        stems = separator.separate(mix)
    expected = {path.stem: read(path) for path in (DATA / "stems" / outputs).glob("*.flac")}
    assert set(stems) == set(expected)
    for name, stem in stems.items():
        difference = np.rint(np.float64(stem) * 2**15).clip(-(2**15), 2**15 - 1) - expected[name] * 2.0**15
        assert abs(difference).max() <= steps, name


@pytest.mark.parametrize("mwf", [False, True])
def test_full_bandwidth_stems_sum_to_the_mix(model_settings: Settings, mix: Waveform, mwf: bool) -> None:
    with Separator("2stems", mwf, bandwidth="full", settings=model_settings) as separator:
        stems = separator.separate(mix)
    error = np.sum(list(stems.values()), axis=0, dtype=np.float64) - mix
    assert np.square(error).sum() < 1e-6 * np.square(mix, dtype=np.float64).sum()
