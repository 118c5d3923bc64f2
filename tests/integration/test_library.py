"""``Separator`` can stand in for official Spleeter's class of that name."""

import faulthandler
import gc
import inspect
import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import spleeter_microservice
from spleeter_microservice import Separator
from spleeter_microservice.audio.reader import AudioReader
from spleeter_microservice.errors import (
    ConfigurationError,
    ConflictingPathsError,
    InvalidSamplesError,
    NoSamplesError,
    NotAudioError,
    SpleeterError,
    TruncatedInputError,
    UnknownModelError,
)
from spleeter_microservice.settings import Settings
from tests.support.random_models import TINY, write_configured

Waveform = NDArray[np.float32]


@pytest.fixture(scope="module")
def descriptor(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_configured(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(models_dir=tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def separator(descriptor: str, settings: Settings) -> Separator:
    return Separator(descriptor, settings=settings)


def noise(samples: int = 20000, channels: int = 2) -> Waveform:
    rng = np.random.default_rng(samples)
    return (0.1 * rng.standard_normal((samples, channels))).astype(np.float32)


def read(path: Path) -> Waveform:
    with AudioReader(path) as reader:
        return np.concatenate(list(reader.blocks(4096)))


def test_arguments_come_in_official_spleeters_order() -> None:
    def positional(method: object) -> list[str]:
        assert callable(method)
        parameters = inspect.signature(method).parameters.values()
        return [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD][1:]

    assert positional(Separator.__init__) == ["model", "mwf", "multiprocess"]
    assert positional(Separator.separate) == ["waveform", "audio_descriptor"]
    assert positional(Separator.separate_to_file) == [
        *("audio_descriptor", "destination", "audio_adapter", "offset", "duration"),
        *("codec", "bitrate", "filename_format", "synchronous"),
    ]
    assert positional(Separator.save_to_file) == [
        *("sources", "audio_descriptor", "destination", "filename_format"),
        *("codec", "audio_adapter", "bitrate", "synchronous"),
    ]


def test_a_waveform_becomes_one_waveform_per_instrument(separator: Separator) -> None:
    waveform = noise()
    kept = waveform.copy()
    stems = separator.separate(waveform, "song.wav")
    assert list(stems) == list(TINY.stems)
    for stem in stems.values():
        assert stem.shape == waveform.shape
        assert stem.dtype == np.float32
        assert stem.flags.c_contiguous
    np.testing.assert_array_equal(waveform, kept)


def test_one_channel_is_doubled_and_a_third_is_left_out(separator: Separator) -> None:
    mono = noise(channels=1)
    doubled = separator.separate(np.repeat(mono, 2, axis=1))
    surround = np.concatenate([np.repeat(mono, 2, axis=1), noise(channels=4)], axis=1)
    for variant in (mono, mono[:, 0], surround, mono.astype(np.float64)):
        for name, stem in separator.separate(variant).items():
            np.testing.assert_array_equal(stem, doubled[name])


@pytest.mark.parametrize(
    ("waveform", "error", "words"),
    [
        (np.zeros((2, 30000), np.float32), ConfigurationError, r"waveform\.T"),
        (np.zeros((1, 30000), np.float32), ConfigurationError, r"waveform\.T"),
        (np.zeros((6, 300), np.float32), ConfigurationError, r"waveform\.T"),
        (np.zeros((300, 200), np.float32), ConfigurationError, r"\(300, 200\)"),
        (np.zeros((100, 2), np.int16), ConfigurationError, "32768 for int16"),
        (np.zeros((100, 2), bool), ConfigurationError, "bool"),
        (np.zeros((100, 2), np.complex64), ConfigurationError, "complex64"),
        (np.array([["a", "b"]]), ConfigurationError, "<U1"),
        (np.array(0.5), ConfigurationError, r"\(\)"),
        (np.zeros((100, 0), np.float32), ConfigurationError, r"\(100, 0\)"),
        (np.zeros((1, 100, 2), np.float32), ConfigurationError, r"\(1, 100, 2\)"),
        (np.zeros((0, 2), np.float32), NoSamplesError, "empty"),
        (np.zeros(0, np.float32), NoSamplesError, "empty"),
        (np.full((100, 2), np.nan, np.float32), InvalidSamplesError, "finite"),
        (np.full((100, 2), -np.inf, np.float32), InvalidSamplesError, "finite"),
        (np.full((100, 2), 1e300), InvalidSamplesError, "finite"),
        (np.full((100, 2), -1e18, np.float32), InvalidSamplesError, "1e13"),
    ],
)
def test_an_array_that_is_not_a_waveform_is_refused(
    separator: Separator, tmp_path: Path, waveform: NDArray[Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as separating:
        separator.separate(waveform)
    with pytest.raises(error, match=words):
        separator.save_to_file({"song": waveform}, "in.wav", tmp_path)
    if error is ConfigurationError:
        assert "shape (samples, channels)" in str(separating.value)


def _sums(separator: Separator) -> list[float]:
    return [float(stem.sum()) for stem in separator.separate(noise()).values()]


def test_threads_share_a_separator(separator: Separator) -> None:
    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(_sums, [separator] * 3)) == [_sums(separator)] * 3


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_another_process_can_use_a_separator(separator: Separator, method: str) -> None:
    expected = _sums(separator)
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(_sums, [separator]) == expected


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 warns of threads, as here
def test_a_forked_process_can_use_a_loaded_separator_even_while_a_thread_does(separator: Separator) -> None:
    expected = _sums(separator)
    gc.collect()  # so that the child frees nothing that other tests left, and that needs their threads
    ended = threading.Event()

    def separate_again_and_again() -> None:
        while not ended.is_set():
            _sums(separator)

    thread = threading.Thread(target=separate_again_and_again)
    thread.start()
    try:
        processes = [
            multiprocessing.get_context("fork").Process(target=_end_as_expected, args=(separator, expected))
            for _ in range(3)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    finally:
        ended.set()
        thread.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert _sums(separator) == expected


def _end_as_expected(separator: Separator, expected: list[float]) -> None:
    faulthandler.dump_traceback_later(50, exit=True)  # shows where it hangs
    assert _sums(separator) == expected
    separator.close()
    gc.collect()


def test_a_file_becomes_the_files_that_the_arrays_would(separator: Separator, tmp_path: Path) -> None:
    waveform = noise(30000)
    separator.save_to_file({"song": waveform}, "in.wav", tmp_path, "{instrument}.{codec}", "flac")
    source = tmp_path / "song.flac"
    song = separator.separate_to_file(str(source), str(tmp_path / "out"), None, 0.1, 0.5, "wav", "128k")
    expected = separator.separate(read(source)[4410 : 4410 + 22050])
    for name, stem in expected.items():
        path = tmp_path / "out" / "song" / f"{name}.wav"
        assert song.stems[name].path == path
        np.testing.assert_allclose(read(path), stem, atol=0.51 / 32768)
    assert song.samples == 22050
    separator.join()


def test_mixes_are_exact_sums_and_need_no_stem_to_be_written(separator: Separator, tmp_path: Path) -> None:
    separator.save_to_file({"song": noise()}, "in.wav", tmp_path, "{instrument}.{codec}")
    every = "vocals+drums+other"

    def separated(folder: str, **options: Any) -> dict[str, Waveform]:
        song = separator.separate_to_file(tmp_path / "song.wav", tmp_path / folder, **options)
        assert song.outputs.keys() == {path.stem for path in (tmp_path / folder / "song").iterdir()}
        for output in song.outputs.values():
            assert output.measurements.peak == pytest.approx(np.abs(read(output.path)).max(), abs=1 / 32768)
        return {name: read(output.path) for name, output in song.outputs.items()}

    mixes = {"all": every, "loud": "vocals@6.5dB"}
    exact = separated("a", bit_depth="32f", mixes=mixes, without=["drums"])
    np.testing.assert_array_equal(exact["all"], exact["vocals"] + exact["drums"] + exact["other"])
    np.testing.assert_array_equal(exact["no_drums"], exact["vocals"] + exact["other"])
    np.testing.assert_array_equal(exact["loud"], exact["vocals"] * np.float32(10 ** (6.5 / 20)))
    rounded = separated("b", mixes=mixes)
    # Each of three stems and their mix is rounded to the nearest of its 16-bit steps.
    summed = rounded["vocals"] + rounded["drums"] + rounded["other"]
    np.testing.assert_allclose(rounded["all"], summed, atol=2.01 / 32768, rtol=0)
    np.testing.assert_allclose(rounded["all"], exact["all"], atol=0.501 / 32768, rtol=0)
    alone = separated("c", bit_depth="32f", mixes=mixes, only="all")
    assert alone.keys() == {"all", "loud"}
    np.testing.assert_array_equal(alone["all"], exact["all"])


def test_the_mixes_of_a_waveform_come_with_its_stems(descriptor: str, settings: Settings) -> None:
    options: dict[str, Any] = {"only": ["drums"], "mixes": {"a": "vocals+drums"}}
    with (
        Separator(descriptor, settings=settings) as every,
        Separator(descriptor, settings=settings, **options) as some,
    ):
        stems, found = every.separate(noise()), some.separate(noise())
    assert [*found] == ["drums", "a"]
    np.testing.assert_array_equal(found["a"], stems["vocals"] + stems["drums"])


def test_names_that_conflict_are_refused_as_in_official_spleeter(
    separator: Separator, tmp_path: Path
) -> None:
    separator.save_to_file({"song": noise()}, "in.wav", tmp_path, "{instrument}.{codec}")
    with pytest.raises(ConflictingPathsError, match="Separated source path conflict"):
        separator.separate_to_file(tmp_path / "song.wav", tmp_path, filename_format="{filename}.x.{codec}")
    with pytest.raises(ConflictingPathsError, match="overwrite the input"):
        separator.save_to_file({"song": noise()}, tmp_path / "song.wav", tmp_path, "{instrument}.{codec}")
    assert issubclass(ConflictingPathsError, SpleeterError)
    assert [path.name for path in tmp_path.iterdir()] == ["song.wav"]


def test_stems_get_their_names_together_or_not_at_all(separator: Separator, tmp_path: Path) -> None:
    separator.save_to_file({"song": noise()}, "in.wav", tmp_path, "{instrument}.{codec}")
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF, or so it says" * 9)
    with pytest.raises(NotAudioError):
        separator.separate_to_file(broken, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_audio_adapter_is_refused(separator: Separator, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"spleeter_microservice\.compat\.separator"):
        separator.separate_to_file("song.wav", tmp_path, audio_adapter=object())  # type: ignore[arg-type]


def test_the_filter_can_be_asked_for_by_either_name(descriptor: str, settings: Settings) -> None:
    waveform = noise()
    with (
        Separator(descriptor, True, settings=settings) as ours,
        Separator(params_descriptor=descriptor, MWF=True, settings=settings) as theirs,
        Separator(descriptor, settings=settings) as neither,
    ):
        filtered = ours.separate(waveform)
        for name, stem in theirs.separate(waveform).items():
            np.testing.assert_array_equal(stem, filtered[name])
        assert not np.array_equal(neither.separate(waveform)["vocals"], filtered["vocals"])


def test_a_closed_separator_loads_again(descriptor: str, settings: Settings) -> None:
    separator = Separator(descriptor, settings=settings)
    first = separator.separate(noise())
    separator.close()
    second = separator.separate(noise())
    separator.close()
    np.testing.assert_array_equal(first["vocals"], second["vocals"])


def test_options_of_a_separator_hold_for_every_song_unless_a_call_has_its_own(
    descriptor: str, settings: Settings, tmp_path: Path
) -> None:
    source = tmp_path / "song.wav"
    with Separator(descriptor, settings=settings, bit_depth="24") as separator:
        separator.save_to_file({"song": noise()}, "in.wav", tmp_path, "{instrument}.{codec}")
        usual = separator.separate_to_file(source, tmp_path / "a").stems["vocals"]
        other = separator.separate_to_file(source, tmp_path / "b", bit_depth="16").stems["vocals"]
    assert usual.path.stat().st_size > 1.4 * other.path.stat().st_size


def test_a_preset_stands_for_options_and_for_a_model(
    descriptor: str, settings: Settings, tmp_path: Path
) -> None:
    source = tmp_path / "song.wav"
    with Separator(descriptor, settings=settings, preset="karaoke", codec="flac") as separator:
        separator.save_to_file({"song": noise()}, "in.wav", tmp_path, "{instrument}.{codec}")
        assert [*separator.separate(noise())] == ["karaoke"]
        song = separator.separate_to_file(source, tmp_path)
        own = separator.separate_to_file(source, tmp_path, codec="opus")
    assert not song.stems
    assert [found.mixes["karaoke"].path.name for found in (song, own)] == ["karaoke.flac", "karaoke.opus"]


def test_best_quality_of_a_part_hears_what_is_around_it(separator: Separator, tmp_path: Path) -> None:
    source, rate = tmp_path / "song.wav", 44100
    separator.save_to_file({"song": noise(rate)}, "in.wav", tmp_path, "{instrument}.{codec}")

    def vocals(**options: Any) -> Waveform:
        song = separator.separate_to_file(source, tmp_path / "out", quality="best", **options)
        return read(song.stems["vocals"].path)

    whole = vocals()
    assert len(whole) == rate
    for offset, duration in ((0.0, 0.5), (0.25, 0.5), (0.25, None), (0.9, 5.0)):
        part = vocals(offset=offset, duration=duration)
        expected = whole[round(offset * rate) :][: round((duration or 1) * rate)]
        assert part.shape == expected.shape
        assert np.square(part - expected).mean() < 0.001 * np.square(expected).mean()


def test_an_option_that_does_not_exist_or_is_impossible_is_refused(settings: Settings) -> None:
    with pytest.raises(TypeError, match="colour"):
        Separator("2stems", settings=settings, colour="blue")
    with pytest.raises(ConfigurationError, match="bandwidth"):
        Separator("2stems", settings=settings, bandwidth="16kHz")


def test_a_model_is_looked_for_at_the_first_use(settings: Settings) -> None:
    separator = Separator("spleeter:9stems", settings=settings)
    with pytest.raises(UnknownModelError, match="2stems"):
        separator.separate(noise())


def test_the_package_has_nothing_else() -> None:
    with pytest.raises(AttributeError, match="Karaoke"):
        spleeter_microservice.Karaoke  # noqa: B018


def test_a_damaged_file_is_separated_with_warnings_or_refused(
    separator: Separator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    separator.save_to_file({"song": noise(3 * 44100)}, "a.wav", tmp_path, "{instrument}.{codec}")
    whole = (tmp_path / "song.wav").read_bytes()
    cut = tmp_path / "cut.wav"
    cut.write_bytes(whole[: len(whole) // 2])
    (warning,) = separator.separate_to_file(cut, tmp_path).warnings
    assert (warning.code, round(warning.position, 1)) == ("cut-off", 1.5)
    assert f"{cut}, at 1.50 s: {warning.message}" in caplog.text
    with pytest.raises(TruncatedInputError):
        separator.separate_to_file(cut, tmp_path, damaged="refuse")
