"""A program that was written for official Spleeter works when only the root of its imports is changed."""

from __future__ import annotations

import inspect
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spleeter_microservice import compat
from spleeter_microservice.audio.codecs import CODECS
from spleeter_microservice.audio.reader import AudioReader
from spleeter_microservice.compat.audio import Codec, STFTBackend
from spleeter_microservice.compat.audio.adapter import AudioAdapter, get_default_audio_adapter
from spleeter_microservice.compat.audio.ffmpeg import FFMPEGProcessAudioAdapter
from spleeter_microservice.compat.separator import Separator
from tests.support.audio_files import RATE, encode_kind, noise
from tests.support.random_models import TINY, write_configured

OFFICIAL = {
    Separator.__init__: "params_descriptor, MWF=False, multiprocess=True",
    Separator.separate: "waveform, audio_descriptor=''",
    Separator.separate_to_file: "audio_descriptor, destination, audio_adapter=None, offset=0, "
    "duration=600.0, codec=<Codec.WAV: 'wav'>, bitrate='128k', "
    "filename_format='{filename}/{instrument}.{codec}', synchronous=True",
    Separator.save_to_file: "sources, audio_descriptor, destination, "
    "filename_format='{filename}/{instrument}.{codec}', codec=<Codec.WAV: 'wav'>, audio_adapter=None, "
    "bitrate='128k', synchronous=True",
    Separator.join: "timeout=200",
    FFMPEGProcessAudioAdapter.save: "path, data, sample_rate, codec=None, bitrate=None",
}
"""Parameters of official Spleeter 2.4."""


class Recorder(AudioAdapter):
    """An adapter of a program's own, whose songs are numbers and whose files are arrays in memory."""

    saved: dict[str, tuple[NDArray[Any], float, str | None, str | None]] = {}  # noqa: RUF012

    def load(self, audio_descriptor: Any, *_: object, **selection: Any) -> tuple[NDArray[Any], float]:
        assert selection == {"offset": 0.5, "duration": 0.25, "sample_rate": RATE}
        return noise(9000, seed=int(audio_descriptor)), RATE

    def save(
        self,
        path: str | Path,
        data: NDArray[Any],
        sample_rate: float,
        codec: Codec | None = None,
        bitrate: str | None = None,
    ) -> None:
        assert isinstance(path, str)
        self.saved[path] = data, sample_rate, codec, bitrate


@pytest.fixture(scope="module")
def descriptor(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_configured(tmp_path_factory.mktemp("model")))


@pytest.fixture
def separator(descriptor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Separator:
    monkeypatch.setenv("SPLEETER_MODELS_DIR", str(tmp_path / "store"))
    return Separator(params_descriptor=descriptor, stft_backend=STFTBackend.LIBROSA, multiprocess=False)


@pytest.mark.parametrize("method", OFFICIAL, ids=lambda method: method.__qualname__)
def test_the_parameters_are_official_spleeters(method: Any) -> None:
    parameters = [
        parameter.replace(annotation=parameter.empty)
        for name, parameter in inspect.signature(method).parameters.items()
        if name not in {"self", "stft_backend"}
    ]
    assert ", ".join(map(str, parameters)) == OFFICIAL[method]


def test_every_name_is_where_official_spleeter_has_it() -> None:
    assert {codec.value for codec in Codec} == {codec.name for codec in CODECS.values() if not codec.tracks}
    assert [backend.value for backend in STFTBackend] == ["auto", "tensorflow", "librosa"]
    for name in compat.__all__:
        assert getattr(compat, name)
    assert get_default_audio_adapter() is AudioAdapter.default() is AudioAdapter.default()
    official = AudioAdapter.get("spleeter.audio.ffmpeg.FFMPEGProcessAudioAdapter")
    assert type(official) is type(AudioAdapter.default()) is FFMPEGProcessAudioAdapter
    assert isinstance(AudioAdapter.get(f"{__name__}.Recorder"), Recorder)


@pytest.mark.parametrize(
    ("name", "words"),
    [("nowhere.Adapter", "PYTHONPATH"), ("Adapter", "module.Class"), ("json.decoder.JSONDecoder", "Derive")],
)
def test_a_name_that_is_not_an_adapter_is_refused(name: str, words: str) -> None:
    with pytest.raises(compat.SpleeterError, match=re.escape(words)):
        AudioAdapter.get(name)


def test_the_default_adapter_reads_and_writes_files(tmp_path: Path) -> None:
    adapter = AudioAdapter.default()
    waveform = noise(30000)
    adapter.save(tmp_path / "song.flac", waveform, RATE)
    loaded, rate = adapter.load(str(tmp_path / "song.flac").encode(), offset=0.25, duration=0.25)
    assert (str(loaded.dtype), loaded.shape, rate) == ("float32", (11025, 2), RATE)
    np.testing.assert_allclose(loaded, waveform[11025:22050], atol=0.51 / 32768)
    adapter.save(str(tmp_path / "song.x"), waveform[:, :1], 48000.0, Codec.MP3, "64k")
    with AudioReader(tmp_path / "song.x") as reader:
        assert (reader.codec_name, reader.source_sample_rate) == ("mp3float", 48000)
    encode_kind(tmp_path / "mono.wav", waveform[:, :1], "s16.wav")
    mono, rate = adapter.load(tmp_path / "mono.wav", sample_rate=22050, dtype=np.dtype("float64"))
    assert (str(mono.dtype), mono.shape, rate) == ("float64", (15000, 1), 22050)
    for broken in ("nowhere.wav", tmp_path):
        with pytest.raises(compat.SpleeterError):
            adapter.load(broken)
    with pytest.raises(compat.SpleeterError, match="codec 'txt'"):
        adapter.save(tmp_path / "song.txt", waveform, RATE)
    with pytest.raises(compat.SpleeterError, match="shape"):
        adapter.save(tmp_path / "song.wav", waveform.T, RATE)


def test_a_file_is_separated_into_the_files_that_its_waveform_would_be(
    separator: Separator, tmp_path: Path
) -> None:
    adapter, song = AudioAdapter.default(), tmp_path / "song.wav"
    adapter.save(song, noise(20000), RATE)
    separator.separate_to_file(str(song), str(tmp_path / "a"), codec=Codec.FLAC, synchronous=False)
    stems = separator.separate(adapter.load(song)[0], str(song))
    separator.save_to_file(stems, str(song), str(tmp_path / "b"), codec=Codec.FLAC)
    separator.join()
    for stem in TINY.stems:
        a, b = (adapter.load(tmp_path / place / "song" / f"{stem}.flac")[0] for place in "ab")
        np.testing.assert_array_equal(a, b)
    with pytest.raises(compat.SpleeterError, match="Separated source path conflict"):
        separator.separate_to_file(str(song), str(tmp_path), filename_format="the same for all")


def test_an_adapter_of_a_programs_own_reads_the_song_and_writes_the_stems(
    separator: Separator, tmp_path: Path
) -> None:
    separator.separate_to_file("7", str(tmp_path), Recorder(), 0.5, 0.25, Codec.MP3, "96k")
    expected = separator.separate(noise(9000, seed=7))
    assert Recorder.saved.keys() == {str(tmp_path / "7" / f"{stem}.mp3") for stem in TINY.stems}
    for stem, waveform in expected.items():
        data, *rest = Recorder.saved[str(tmp_path / "7" / f"{stem}.mp3")]
        np.testing.assert_array_equal(data, waveform)
        assert rest == [RATE, "mp3", "96k"]


def test_the_modules_have_official_spleeters_names() -> None:
    for name in ("separator", "audio", "audio.adapter", "audio.ffmpeg"):
        import_module(f"spleeter_microservice.compat.{name}")
    assert not {"tensorflow"} & sys.modules.keys()
