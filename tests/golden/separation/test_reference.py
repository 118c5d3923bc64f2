"""Stems equal official Spleeter's, whose outputs are in shared/reference."""

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from spleeter_microservice.audio.reader import AudioReader
from spleeter_microservice.library import Separator
from spleeter_microservice.settings import Settings
from tests.support.shared import shared

Waveform = NDArray[np.float32]

MASKS, WIENER = -60.0, -40.0
"""The largest difference allowed, in dB relative to the stem. Measured: about −100 for both."""


def read(path: Path) -> Waveform:
    with AudioReader(path) as reader:
        return np.concatenate(list(reader.blocks(1 << 16)))


def difference(found: Waveform, expected: Waveform) -> float:
    """Energy of the difference relative to the expected stem's, in dB."""
    error = (found.astype(np.float64) - expected) ** 2
    return float(10 * np.log10(error.sum() / np.square(expected, dtype=np.float64).sum()))


@pytest.fixture
def mix() -> Waveform:
    return read(shared("reference", "mix.flac"))


@pytest.mark.parametrize(
    ("descriptor", "outputs", "mwf", "limit"),
    [
        ("spleeter:2stems", "2stems", False, MASKS),
        ("spleeter:2stems-16kHz", "2stems-16kHz", False, MASKS),
        ("spleeter:2stems", "2stems-mwf", True, WIENER),
        ("tiny-4stems", "tiny-4stems", False, MASKS),
        ("tiny-5stems", "tiny-5stems", False, MASKS),
    ],
)
def test_stems_equal_those_of_official_spleeter(
    mix: Waveform, model_settings: Settings, descriptor: str, outputs: str, mwf: bool, limit: float
) -> None:
    if descriptor.startswith("tiny"):
        descriptor = str(shared("reference", "checkpoints", descriptor, "config.json"))
    with Separator(descriptor, mwf, settings=model_settings) as separator:
        stems = separator.separate(mix)
    folder = shared("reference", "outputs", outputs)
    assert set(stems) == {path.stem for path in folder.glob("*.flac")}
    for name, stem in stems.items():
        assert stem.shape == mix.shape
        assert difference(stem, read(folder / f"{name}.flac")) < limit, name


def test_full_bandwidth_stems_sum_to_the_mix(mix: Waveform, model_settings: Settings) -> None:
    for mwf in (False, True):
        with Separator("2stems", mwf, bandwidth="full", settings=model_settings) as separator:
            stems = separator.separate(mix)
        assert difference(sum(stems.values(), np.zeros_like(mix)), mix) < -60


# Global SDR in dB of official Spleeter's (vocals, accompaniment), from shared/eval/README.md.
OFFICIAL_SDR = {
    "cmt_JohnMcKay_1": (8.76, 11.80),
    "musdb_Falcon69": (4.61, 12.02),
    "wp_stems30": (11.54, 11.76),
    "mir1k_amy_15_02": (12.33, 12.33),
    "mir1k_bug_5_02": (7.02, 6.92),
    "waveunet_CristinaVane": (8.91, 11.81),
}


def sdr(found: Waveform, true: Waveform) -> float:
    return -difference(found, true)


def test_quality_on_real_music_is_official_and_full_bandwidth_is_nowhere_lower(
    model_settings: Settings,
) -> None:
    with ExitStack() as stack:
        official = stack.enter_context(Separator("2stems", settings=model_settings))
        full = stack.enter_context(Separator("2stems", bandwidth="full", settings=model_settings))
        for excerpt, expected in OFFICIAL_SDR.items():
            folder = shared("eval", excerpt)
            mixture = read(folder / "mixture.flac")
            parts = {p.stem: read(p) for p in folder.glob("*.flac") if p.stem != "mixture"}
            vocals = parts.pop("vocals")
            true = {"vocals": vocals, "accompaniment": sum(parts.values(), np.zeros_like(mixture))}
            usual, whole = official.separate(mixture), full.separate(mixture)
            for name, value in zip(true, expected, strict=True):
                assert sdr(usual[name], true[name]) == pytest.approx(value, abs=0.01), (excerpt, name)
                assert sdr(whole[name], true[name]) > sdr(usual[name], true[name]) - 0.005, (excerpt, name)
