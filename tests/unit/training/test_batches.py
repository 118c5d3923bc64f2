"""Batches depend only on the seed and their number, so a resumed training sees what an unbroken one would."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from spleeter_microservice.training.batches import Segments, TrainingBatches, validation_batches
from spleeter_microservice.training.chunks import Chunk, chunks_of
from spleeter_microservice.training.configuration import Augmentation
from spleeter_microservice.training.examples import examples_of_folder
from spleeter_microservice.training.spectrogram_cache import SpectrogramCache
from tests.support.random_models import TINY
from tests.support.training_songs import INSTRUMENTS, write_songs


@pytest.fixture(scope="module")
def chunks(tmp_path_factory: pytest.TempPathFactory) -> list[Chunk]:
    songs = examples_of_folder(write_songs(tmp_path_factory.mktemp("songs")), INSTRUMENTS).training
    return [chunk for song in songs for chunk in chunks_of(song, 2, 0.2, TINY.sample_rate)]


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


def batches(
    chunks: list[Chunk], pool: ThreadPoolExecutor, seed: int = 0, cache: SpectrogramCache | None = None
) -> TrainingBatches:
    augmentation = Augmentation((0.9, 1.1), (-1, 1), (-3, 3)) if cache is None else Augmentation()
    return TrainingBatches(Segments(TINY, cache), chunks, 4, seed, augmentation, pool)


def test_batches_can_be_resumed_at_any_step(chunks: list[Chunk], pool: ThreadPoolExecutor) -> None:
    whole = list(batches(chunks, pool).from_step(0, 5))
    assert whole[0].shape == (4, 3, 2, 64, 64)
    for step, batch in zip(range(3, 5), batches(chunks, pool).from_step(3, 5), strict=True):
        np.testing.assert_array_equal(batch, whole[step])
    other = next(batches(chunks, pool, seed=1).from_step(0, 1))
    assert not np.array_equal(other, whole[0])


def test_each_epoch_has_every_chunk_once_in_a_new_order(
    chunks: list[Chunk], pool: ThreadPoolExecutor
) -> None:
    class Names(Segments):
        def read(self, chunk: Chunk, choose: object) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
            return np.full((3, 2, 64, 64), chunks.index(chunk), np.float32)

    found = TrainingBatches(Names(TINY), chunks, 4, 0, Augmentation(), pool).from_step(0, 3)
    order = [int(segment[0, 0, 0, 0]) for batch in found for segment in batch]
    assert sorted(order[:6]) == sorted(order[6:]) == list(range(6))
    assert order[:6] != order[6:]


def test_the_segments_of_a_mix_and_its_stems_start_at_the_same_frame(
    chunks: list[Chunk], pool: ThreadPoolExecutor
) -> None:
    batch = next(batches(chunks, pool).from_step(0, 1))
    # Tones and noise hardly overlap in any bin, so their magnitudes nearly add up.
    assert np.abs(batch[:, 0] - batch[:, 1] - batch[:, 2]).mean() < 0.1 * batch[:, 0].mean()


def test_cached_spectrograms_differ_only_in_the_last_digits_and_are_computed_once(
    chunks: list[Chunk], pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    tracks = {track for chunk in chunks for source in chunk.example.sources for track in source}
    hashes = {track.path: str(track) for track in tracks}
    cache = SpectrogramCache(tmp_path / "cache", hashes, TINY)
    reports: list[tuple[int, int]] = []
    cache.fill(chunks, 2, lambda done, total: reports.append((done, total)))
    assert (reports[0], reports[-1]) == ((0, 9), (9, 9))
    files = sorted(cache.folder.rglob("*.npy"))
    assert len(files) == 18
    plain = TrainingBatches(Segments(TINY), chunks, 4, 0, Augmentation(), pool)
    for cached, computed in zip(
        batches(chunks, pool, cache=cache).from_step(0, 2), plain.from_step(0, 2), strict=True
    ):
        np.testing.assert_allclose(cached, computed, rtol=1e-3, atol=1e-6)
    times = [path.stat().st_mtime_ns for path in files]
    cache.fill(chunks, 2, lambda done, total: reports.append((done, total)))
    assert reports[-1] == (0, 0)
    assert [path.stat().st_mtime_ns for path in files] == times
    changed = SpectrogramCache(tmp_path / "cache", {path: f"{sha}!" for path, sha in hashes.items()}, TINY)
    changed.fill(chunks, 2, lambda done, total: None)
    assert len(list(cache.folder.rglob("*.npy"))) == 36


def test_validation_uses_the_middle_segment_of_every_chunk(
    chunks: list[Chunk], pool: ThreadPoolExecutor
) -> None:
    found = list(validation_batches(Segments(TINY), chunks, 4, pool))
    assert [len(batch) for batch in found] == [4, 2]
    middle = Segments(TINY).read(chunks[5], lambda starts: (starts - 1) // 2)
    np.testing.assert_array_equal(found[1][1], middle)
