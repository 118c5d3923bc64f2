"""A level is reached exactly, by one factor for all files of a song or by one for each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spleeter_microservice.arrays import Waveform
from spleeter_microservice.audio.loudness import LoudnessMeter
from spleeter_microservice.audio.output_format import OutputFormat
from spleeter_microservice.audio.reader import AudioReader
from spleeter_microservice.audio.writer import AudioWriter
from spleeter_microservice.errors import DiskFullError, SpleeterError
from spleeter_microservice.separation.level import Leveller
from spleeter_microservice.separation.options import SeparationOptions
from spleeter_microservice.separation.result import SeparatedSong
from spleeter_microservice.separation.song import separate_song
from spleeter_microservice.separation.spleeter.network import OnnxNetworks
from spleeter_microservice.separation.spleeter.pipeline import SpleeterSeparator
from tests.support.random_models import TINY, written
from tests.support.small_disk import small_disk

RATE = 44100


@pytest.fixture(scope="module")
def separator(tmp_path_factory: pytest.TempPathFactory) -> SpleeterSeparator:
    folder = tmp_path_factory.mktemp("tiny")
    written(TINY, folder)
    return SpleeterSeparator(TINY, OnnxNetworks(folder, TINY))


@pytest.fixture
def song(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2 * RATE, 2)).astype(np.float32)
    noise[RATE] = 3  # what only float WAV can hold
    return saved(tmp_path / "song.wav", noise)


def saved(path: Path, waveform: Waveform) -> Path:
    with AudioWriter(path, OutputFormat(bit_depth="32f")) as writer:
        writer.write(waveform)
        writer.commit()
    return path


def read(path: Path) -> Waveform:
    with AudioReader(path) as reader:
        return np.concatenate(list(reader.blocks(1 << 16)))


def loudness(waveform: Waveform) -> float:
    meter = LoudnessMeter(RATE)
    meter.add(waveform)
    found = meter.result()
    assert found is not None
    return found


def separate(
    separator: SpleeterSeparator, source: Path, **options: Any
) -> tuple[SeparatedSong, Mapping[str, Waveform]]:
    folder = source.parent / "out"
    chosen = SeparationOptions(**{"bit_depth": "32f", "mixes": {"all": "vocals+drums+other"}, **options})
    paths = {name: folder / f"{name}.wav" for name in chosen.outputs(separator.stems)}
    watched: dict[str, list[Waveform]] = {name: [] for name in paths}

    def watch(waveforms: Mapping[str, Waveform]) -> None:
        for name, pieces in watched.items():
            pieces.append(waveforms[name].copy())

    result = separate_song(separator, source, paths, chosen, watch=watch)
    assert sorted(folder.iterdir()) == sorted(paths.values())
    found = {name: read(path) for name, path in paths.items()}
    for name, output in result.outputs.items():
        if chosen.bit_depth == "32f":
            assert output.measurements.peak == pytest.approx(np.abs(found[name]).max(), rel=1e-6)
            assert output.measurements.beyond_full_scale == np.count_nonzero(np.abs(found[name]) > 1)
            np.testing.assert_array_equal(np.concatenate(watched[name]), found[name])
    return result, found


def test_one_factor_brings_the_song_to_a_loudness(separator: SpleeterSeparator, song: Path) -> None:
    _, before = separate(separator, song)
    result, after = separate(separator, song, level="-20")
    factor = np.float32(10 ** ((-20 - loudness(read(song))) / 20))
    for name, waveform in after.items():
        np.testing.assert_allclose(waveform, before[name] * factor, rtol=1e-6)
        assert result.outputs[name].gain == pytest.approx(20 * np.log10(factor), abs=0.01)
    np.testing.assert_allclose(
        after["all"], after["vocals"] + after["drums"] + after["other"], atol=1e-6, rtol=1e-6
    )


def test_each_file_has_the_loudness_itself(separator: SpleeterSeparator, song: Path) -> None:
    result, after = separate(separator, song, level="-20", level_each=True)
    assert [loudness(waveform) for waveform in after.values()] == pytest.approx([-20] * 4, abs=0.1)
    assert len({output.gain for output in result.outputs.values()}) == 4


@pytest.mark.parametrize("bit_depth", ["16", "32f"])
def test_the_loudest_sample_reaches_full_scale_and_none_is_clipped(
    separator: SpleeterSeparator, song: Path, bit_depth: str
) -> None:
    assert separate(separator, song, bit_depth="16")[0].mixes["all"].clipped_samples
    for each in (False, True):
        result, after = separate(
            separator, song, level="prevent-clipping", level_each=each, bit_depth=bit_depth
        )
        assert max(np.abs(waveform).max() for waveform in after.values()) == pytest.approx(1, abs=1e-4)
        assert sum(output.clipped_samples for output in result.outputs.values()) == 0
        quiet = min(result.outputs.values(), key=lambda output: output.measurements.peak)
        assert (quiet.gain == 0) == each


def test_what_is_raised_beyond_full_scale_is_clipped_and_counted(
    separator: SpleeterSeparator, song: Path
) -> None:
    result, _ = separate(separator, song, level="0", bit_depth="16")
    assert all(output.gain > 0 for output in result.outputs.values())
    assert result.mixes["all"].clipped_samples > 100


def test_silence_and_what_does_not_clip_keep_their_level(
    separator: SpleeterSeparator, tmp_path: Path
) -> None:
    for level, amplitude in (("-14", 0), ("prevent-clipping", 0.1)):
        source = saved(tmp_path / "song.wav", np.full((RATE, 2), amplitude, np.float32))
        _, before = separate(separator, source)
        result, after = separate(separator, source, level=level)
        assert {output.gain for output in result.outputs.values()} == {0}
        for name, waveform in after.items():
            np.testing.assert_array_equal(waveform, before[name])


def test_an_error_in_the_second_pass_leaves_nothing(separator: SpleeterSeparator, song: Path) -> None:
    def fail(_: object) -> None:
        raise SpleeterError("the listener is gone")

    paths = {"vocals": song.parent / "out" / "vocals.wav"}
    with pytest.raises(SpleeterError):
        separate_song(separator, song, paths, SeparationOptions(level="-14"), watch=fail)
    assert [path.name for path in song.parent.iterdir()] == ["song.wav"]


def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    block = np.zeros((1 << 18, 2), np.float32)
    with small_disk(tmp_path / "small", megabytes=4) as disk:
        paths = {"vocals": disk.folder / "vocals.wav"}
        with Leveller(SeparationOptions(level="-14"), paths, RATE) as leveller:
            disk.fill(1 << 20)
            with pytest.raises(DiskFullError, match=r"to change the level of vocals\.wav"):
                leveller.hold(block, {"vocals": block})
            disk.free()
        assert list(disk.folder.iterdir()) == []
