"""Stems are exactly as long as the song, however it arrives."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spleeter_microservice.separation.measurements import Measurements
from spleeter_microservice.separation.options import SeparationOptions
from spleeter_microservice.separation.separator import NOTHING_AROUND, Surroundings
from spleeter_microservice.separation.spleeter.network import OnnxNetworks
from spleeter_microservice.separation.spleeter.pipeline import SpleeterSeparator, ahead
from spleeter_microservice.separation.stage_timer import StageTimer
from tests.support.random_models import TINY, written

Waveform = NDArray[np.float32]

DEFAULTS = SeparationOptions()
BEST = SeparationOptions(quality="best")
SEGMENT = TINY.segment_frames * TINY.hop_length


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> OnnxNetworks:
    folder = tmp_path_factory.mktemp("tiny")
    written(TINY, folder)
    return OnnxNetworks(folder, TINY)


def noise(samples: int) -> Waveform:
    return np.random.default_rng(samples).uniform(-1, 1, (samples, 2)).astype(np.float32)


def separate(
    networks: OnnxNetworks,
    waveform: Waveform,
    block: int,
    options: SeparationOptions = DEFAULTS,
    stages: StageTimer | None = None,
    surroundings: Surroundings = NOTHING_AROUND,
) -> tuple[Waveform, list[Waveform]]:
    blocks = [waveform[i : i + block] for i in range(0, len(waveform), block)]
    separator = SpleeterSeparator(TINY, networks)
    pieces = list(separator.separate_blocks(lambda: blocks, options, stages, surroundings))
    mix = np.concatenate([p.mix for p in pieces], axis=1).T
    stems = [np.concatenate([p.stems[i] for p in pieces], axis=1).T for i in range(3)]
    return mix, stems


@settings(max_examples=25, deadline=None)
@given(
    samples=st.integers(1, 3 * SEGMENT),
    block=st.integers(1, 2 * SEGMENT),
    mwf=st.booleans(),
    quality=st.sampled_from(("official", "best")),
)
def test_a_streamed_result_equals_the_whole_arrays(
    networks: OnnxNetworks, samples: int, block: int, mwf: bool, quality: str
) -> None:
    waveform = noise(samples)
    options = SeparationOptions(mwf=mwf, quality=quality)
    mix, whole = separate(networks, waveform, samples, options)
    _, streamed = separate(networks, waveform, block, options)
    np.testing.assert_array_equal(mix, waveform)
    for a, b in zip(whole, streamed, strict=True):
        assert a.shape == waveform.shape
        np.testing.assert_array_equal(a, b)


# Around a whole number of segments, counting the silent frame that goes before the song.
@pytest.mark.parametrize("segments", [1, 2])
@pytest.mark.parametrize("frames", [-5, -4, -3, -1, 0, 1])
@pytest.mark.parametrize("samples", [-1, 0, 1])
def test_stems_have_the_songs_length_around_a_segments_end(
    networks: OnnxNetworks, segments: int, frames: int, samples: int
) -> None:
    length = segments * SEGMENT + frames * TINY.hop_length + samples
    _, stems = separate(networks, noise(length), length)
    assert [len(stem) for stem in stems] == [length] * 3


@settings(max_examples=10, deadline=None)
@given(samples=st.integers(1, 2 * SEGMENT), mwf=st.booleans(), quality=st.sampled_from(("official", "best")))
def test_full_bandwidth_stems_sum_to_the_mix(
    networks: OnnxNetworks, samples: int, mwf: bool, quality: str
) -> None:
    waveform = noise(samples)
    options = SeparationOptions(mwf=mwf, bandwidth="full", quality=quality)
    _, stems = separate(networks, waveform, samples, options)
    np.testing.assert_allclose(sum(stems), waveform, atol=1e-5)


def test_stems_of_the_default_bandwidth_sum_to_the_mix_below_the_last_bin(networks: OnnxNetworks) -> None:
    time = np.arange(2 * SEGMENT)[:, None] * np.ones((1, 2))
    low = (0.5 * np.sin(2 * np.pi * time * 8 / 256)).astype(np.float32)
    _, stems = separate(networks, low, len(low))
    np.testing.assert_allclose(np.add.reduce(stems)[256:-256], low[256:-256], atol=1e-3)


def measured(
    networks: OnnxNetworks, waveform: Waveform, options: SeparationOptions = DEFAULTS
) -> tuple[Measurements, float]:
    """Return the measurements of a separation, and its residual in double precision as a ratio."""
    separator = SpleeterSeparator(TINY, networks)
    meter = separator.meter(options)
    residual = 0.0
    for block in separator.separate_blocks(lambda: [waveform], options):
        meter.add(block.mix, block.stems, block.covered, block.expected)
        residual += np.square(block.mix - np.add.reduce(block.stems, dtype=float)).sum()
    return meter.result(), residual / np.square(waveform, dtype=float).sum()


TIME = np.arange(4 * SEGMENT)
SWEEP = np.sin(np.pi / 2 * TIME**2 / len(TIME))  # from 0 to half of the sample rate
CLICKS = (TIME % 1000 == 0) * 0.9
KICKS = 0.3 * np.exp(-(TIME % 4000) / 400) * np.sin(2 * np.pi * TIME / 300)
NOISE = 0.02 * noise(len(TIME))[:, 0]


@pytest.mark.parametrize(
    ("mono", "residual"),
    [
        pytest.param(NOISE, -3.0, id="noise"),
        pytest.param(NOISE + 0.1 * np.sin(2 * np.pi * TIME / 3000), None, id="noise and subsonic sound"),
        pytest.param(NOISE + 0.1, None, id="noise and an offset"),
        pytest.param(np.full(len(TIME), 0.1), None, id="an offset"),
        pytest.param(KICKS, None, id="kicks"),
        pytest.param(SWEEP, -3.0, id="a sweep"),
        pytest.param(CLICKS, -3.0, id="clicks"),
        pytest.param(NOISE[:1], None, id="one sample"),
        pytest.param(NOISE[:100], None, id="less than a frame"),
        pytest.param(0.3 * np.cos(np.pi * TIME), 0.0, id="half of the sample rate"),
        *(
            pytest.param(0.3 * np.sin(2 * np.pi * k * TIME / 256 + 0.3), None, id=f"a tone in bin {k}")
            for k in (0.5, 1, 32, 56, 60, 62.5, 63, 63.5, 64, 65, 90, 127.5)
        ),
    ],
)
def test_the_residual_is_what_the_model_leaves_out(
    networks: OnnxNetworks, mono: NDArray[np.float64], residual: float | None
) -> None:
    measurements, true = measured(networks, np.stack([mono, 0.5 * mono], axis=1).astype(np.float32))
    for found in (measurements.residual, measurements.expected_residual):
        assert found is not None
        assert 10 ** (found / 10) == pytest.approx(true, rel=0.01, abs=1e-7)
        assert residual is None or found == pytest.approx(residual, abs=0.2)
    assert measurements.anomaly is None


def test_stems_of_all_frequencies_have_no_expected_residual(networks: OnnxNetworks) -> None:
    measurements, _ = measured(networks, noise(SEGMENT), SeparationOptions(bandwidth="full"))
    assert measurements.expected_residual is None
    assert measurements.residual is not None
    assert measurements.residual < -100
    assert measurements.anomaly is None


def test_best_quality_treats_a_quiet_song_as_a_loud_one(networks: OnnxNetworks) -> None:
    quiet = noise(2 * SEGMENT) * np.float32(0.01)
    for options in (BEST, SeparationOptions()):
        _, stems = separate(networks, quiet, len(quiet), options)
        _, quieter = separate(networks, quiet / np.float32(16), len(quiet), options)
        alike = np.allclose(16 * np.array(quieter), stems, atol=1e-4)
        assert alike == (options == BEST)


def test_best_quality_hides_an_offset_from_the_networks_and_leaves_it_in_the_last_stem(
    networks: OnnxNetworks,
) -> None:
    waveform = noise(2 * SEGMENT)
    waveform -= waveform.mean(axis=0)
    mix, stems = separate(networks, waveform + np.float32(0.25), 1000, BEST)
    _, usual = separate(networks, waveform, 1000, BEST)
    np.testing.assert_allclose(mix, waveform + 0.25, atol=1e-6)
    np.testing.assert_allclose(stems[:2], usual[:2], atol=1e-4)
    np.testing.assert_allclose(stems[2], usual[2] + 0.25, atol=1e-4)


def test_best_quality_hears_what_is_around_a_part_of_a_song(networks: OnnxNetworks) -> None:
    song, around = noise(2 * SEGMENT), 32 * TINY.hop_length
    part = slice(around, len(song) - around)
    _, whole = separate(networks, song, 1000, BEST)
    _, alone = separate(networks, song[part], 1000, BEST)
    surroundings = (song[: part.start], song[part.stop :])
    _, within = separate(networks, song[part], 1000, BEST, surroundings=surroundings)
    errors = [np.square(stems[0] - whole[0][part]).sum() for stems in (alone, within)]
    assert errors[1] < 0.5 * errors[0]


def test_time_is_counted_for_every_stage(networks: OnnxNetworks) -> None:
    stages = StageTimer()
    separate(networks, noise(SEGMENT), 1000, stages=stages)
    assert set(stages.seconds) == {"decode", "stft", "network", "masks", "inverse"}


def test_one_loaded_model_separates_songs_with_different_options(networks: OnnxNetworks) -> None:
    separator = SpleeterSeparator(TINY, networks)

    def first_stem(options: SeparationOptions) -> Waveform:
        blocks = separator.separate_blocks(lambda: [noise(SEGMENT)], options)
        return np.concatenate([block.stems[0] for block in blocks], axis=1)

    before, refined, after = map(first_stem, (DEFAULTS, SeparationOptions(mwf=True), DEFAULTS))
    np.testing.assert_array_equal(before, after)
    assert not np.array_equal(before, refined)


def test_an_error_of_the_source_is_raised_to_the_consumer(networks: OnnxNetworks) -> None:
    def broken() -> Iterator[Waveform]:
        yield noise(3 * SEGMENT)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(SpleeterSeparator(TINY, networks).separate_blocks(broken, DEFAULTS))


def test_leaving_early_stops_the_source() -> None:
    produced = []

    def source() -> Iterator[int]:
        for i in range(100):
            produced.append(i)
            yield i

    items = ahead(source())
    assert next(items) == 0
    items.close()
    assert len(produced) <= 3


def test_ahead_passes_everything_on_in_order() -> None:
    assert list(ahead(iter(range(1, 50)))) == list(range(1, 50))
