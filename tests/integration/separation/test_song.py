"""All stems of a song appear together, or none does and nothing is left."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spleeter_microservice.audio.output_format import OutputFormat
from spleeter_microservice.audio.reader import AudioReader
from spleeter_microservice.audio.tags import LARGEST_COVER
from spleeter_microservice.audio.writer import AudioWriter
from spleeter_microservice.errors import ConfigurationError, EncodingError, UnwritableOutputError
from spleeter_microservice.separation.options import SeparationOptions
from spleeter_microservice.separation.song import Stems, separate_song
from spleeter_microservice.separation.spleeter.network import OnnxNetworks
from spleeter_microservice.separation.spleeter.pipeline import SpleeterSeparator
from tests.support.audio_files import encode_kind, read
from tests.support.random_models import TINY, written
from tests.support.tagged_songs import SONG, png, put, seen

NOISE = np.random.default_rng(0).uniform(-1, 1, (5000, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> SpleeterSeparator:
    folder = tmp_path_factory.mktemp("tiny")
    written(TINY, folder)
    return SpleeterSeparator(TINY, OnnxNetworks(folder, TINY))


def paths(folder: Path) -> dict[str, Path]:
    return {name: folder / "song" / f"{name}.wav" for name in ("vocals", "drums", "other")}


def test_stems_have_temporary_names_until_they_are_published(tmp_path: Path) -> None:
    wanted = paths(tmp_path)
    with Stems(wanted, OutputFormat("wav")) as stems:
        stems.write(dict.fromkeys(wanted, NOISE))
        assert not any(path.exists() for path in wanted.values())
        stems.publish()
    assert sorted(tmp_path.rglob("*.*")) == sorted(wanted.values())


@pytest.mark.parametrize("failing", ["vocals", "drums", "other"])
def test_a_stem_that_fails_takes_the_others_and_their_folder_with_it(tmp_path: Path, failing: str) -> None:
    wanted = paths(tmp_path / "out")
    broken = dict.fromkeys(wanted, NOISE) | {failing: np.full_like(NOISE, np.nan)}
    with Stems(wanted, OutputFormat("wav")) as stems:
        stems.write(dict.fromkeys(wanted, NOISE))
        with pytest.raises(EncodingError):
            stems.write(broken)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_taken_meanwhile_takes_back_those_already_given(tmp_path: Path) -> None:
    wanted = paths(tmp_path)
    with Stems(wanted, OutputFormat("wav")) as stems:
        stems.write(dict.fromkeys(wanted, NOISE))
        wanted["drums"].mkdir()
        with pytest.raises(UnwritableOutputError):
            stems.publish()
    assert list((tmp_path / "song").iterdir()) == [wanted["drums"]]


def test_leaving_without_publishing_leaves_nothing(tmp_path: Path) -> None:
    with Stems(paths(tmp_path / "out"), OutputFormat("flac")) as stems:
        stems.write(dict.fromkeys(paths(tmp_path), NOISE))
    assert list(tmp_path.iterdir()) == []


def test_stems_get_the_songs_tags_unless_the_caller_does_not_want_them(tmp_path: Path) -> None:
    songs = [encode_kind(tmp_path / f"{name}.mp3", NOISE, "mp3") for name in ("plain", "tagged")]
    put(songs[1], SONG, png(), others={"replaygain_track_gain": "-7 dB"})
    written(TINY, tmp_path / "tiny")
    separator = SpleeterSeparator(TINY, OnnxNetworks(tmp_path / "tiny", TINY))
    contents = []
    for number, (song, tags) in enumerate(zip((*songs, songs[1]), (True, False, True), strict=True)):
        wanted = {name: tmp_path / f"{number}" / f"{name}.flac" for name in TINY.stems}
        separate_song(separator, song, wanted, SeparationOptions(codec="flac", tags=tags))
        contents.append([path.read_bytes() for path in wanted.values()])
    assert contents[0] == contents[1]
    for name, path in wanted.items():
        assert seen(path) == SONG | {
            "title": f"Söng ({name})", "cover": (png(), "image/png", 3), "others": [],
        }  # fmt: skip


@pytest.mark.parametrize("piano", [(), ("piano",)], ids=["4 stems", "5 stems"])
def test_a_file_of_all_stems_has_the_mix_and_every_stem_in_its_track(
    tmp_path: Path, piano: tuple[str, ...]
) -> None:
    stems = ("vocals", *piano, "drums", "bass", "other")
    model = replace(TINY, stems=stems)
    written(model, tmp_path / "tiny")
    separator = SpleeterSeparator(model, OnnxNetworks(tmp_path / "tiny", model))
    song = put(encode_kind(tmp_path / "song.wav", np.tile(NOISE, (5, 1)), "s16.wav"), SONG, png())
    wanted = {name: tmp_path / f"{name}.wav" for name in stems}
    separate_song(separator, song, wanted, SeparationOptions(bandwidth="full"))
    options = SeparationOptions(codec="stem.mp4", bit_depth="16", bandwidth="full")
    assert options.outputs(stems) == ("stems",)
    path = tmp_path / "song.stem.mp4"
    result = separate_song(separator, song, {"stems": path}, options)
    assert (result.stems["stems"].path, result.mixes) == (path, {})
    assert result.stems["stems"].measurements.level == pytest.approx(result.measurements.level, abs=0.1)
    assert seen(path) == SONG | {"cover": (png(), "image/png", 3), "others": []}
    mix, *tracks = (read(path, track=str(number)) for number in range(1, 6))
    np.testing.assert_array_equal(mix, read(song))
    np.testing.assert_allclose(sum(tracks), mix, atol=4 / 32768)
    separated = {name: read(each) for name, each in wanted.items()}
    separated["other"] = separated["other"] + separated.get("piano", np.float32(0))
    for name, track in zip(("drums", "bass", "other", "vocals"), tracks, strict=True):
        np.testing.assert_allclose(track, separated[name], atol=2 / 32768)
    quieter = separate_song(separator, song, {"stems": path}, replace(options, level="-40"))
    factor = 10 ** (quieter.stems["stems"].gain / 20)
    assert factor < 0.5
    for number, track in enumerate((mix, *tracks), 1):
        np.testing.assert_allclose(read(path, track=str(number)), track * factor, atol=2 / 32768)


@pytest.mark.parametrize(
    ("codec", "padding", "left_out"),
    [("wav", LARGEST_COVER, True), ("wma", 70_000, True), ("wav", 70_000, False)],
)
def test_a_cover_that_stems_cannot_have_is_left_out_with_a_warning(
    tmp_path: Path, tiny: SpleeterSeparator, codec: str, padding: int, left_out: bool
) -> None:
    song = put(encode_kind(tmp_path / "song.flac", NOISE[:20_000], "flac"), {}, png(padding=padding))
    paths = {"vocals": tmp_path / f"vocals.{codec}"}
    result = separate_song(tiny, song, paths, SeparationOptions(codec=codec, mwf=left_out, damaged="refuse"))
    messages = [warning.message for warning in result.warnings if warning.code == "no-cover"]
    assert len(messages) == left_out
    assert all(f"it has {len(png(padding=padding))} bytes" in message for message in messages)


@pytest.mark.parametrize(
    ("level", "text"), [(-34.9, None), (-35.1, "-35.1 dB"), (-70.0, "-70.0 dB"), (-np.inf, None)]
)
def test_a_quiet_song_is_separated_with_a_warning(
    tmp_path: Path, tiny: SpleeterSeparator, level: float, text: str | None
) -> None:
    song = NOISE * np.float32(10 ** (level / 20) / np.sqrt(np.mean(np.square(NOISE))))
    with AudioWriter(tmp_path / "song.wav", OutputFormat(bit_depth="32f")) as writer:
        writer.write(song)
        writer.commit()
    strict = SeparationOptions(damaged="refuse")
    result = separate_song(tiny, tmp_path / "song.wav", {}, strict)
    assert [warning.code for warning in result.warnings] == (["quiet"] if text else [])
    assert all(str(text) in warning.message for warning in result.warnings)


@pytest.mark.parametrize(("offset", "duration"), [(0.0, None), (0.0377, 0.5123)])
@pytest.mark.parametrize("rate", [48000, 96000, 44100, 44056, 37800, 22050, 11025, 8000])
def test_at_its_own_rate_a_song_is_as_long_and_every_click_at_the_same_sample(
    tmp_path: Path, tiny: SpleeterSeparator, rate: int, offset: float, duration: float | None
) -> None:
    song = np.zeros((rate + 17, 2), np.float32)
    clicks = [round(rate * seconds) for seconds in (0.0501, 0.3017, 0.777)]
    song[clicks] = 0.5
    exact = OutputFormat(bit_depth="32f", channels=1)
    with AudioWriter(tmp_path / "song.wav", exact, rate) as writer:
        writer.write(song)
        writer.commit()
    options = SeparationOptions(
        bit_depth="32f", sample_rate="source", channels="source", bandwidth="full", offset=offset,
        duration=duration,
    )  # fmt: skip
    wanted = paths(tmp_path)
    result = separate_song(tiny, tmp_path / "song.wav", wanted, options)
    start = round(offset * rate)
    expected = song[start:][: None if duration is None else round(duration * rate), 0]
    total = np.zeros(len(expected), np.float32)
    for path in wanted.values():
        with AudioReader(path, sample_rate=None) as reader:
            (block,) = reader.blocks(len(song))
        assert (reader.sample_rate, reader.source_channels) == (rate, 1)
        total += block[:, 0]
    assert (result.samples, result.duration) == (len(expected), len(expected) / rate)
    for click in np.flatnonzero(expected).tolist():
        begin = max(0, click - rate // 50)
        assert begin + np.abs(total[begin : click + rate // 50]).argmax() == click


def test_two_channels_stay_two_and_another_rate_is_as_long_as_the_song(
    tmp_path: Path, tiny: SpleeterSeparator
) -> None:
    with AudioWriter(tmp_path / "song.wav", OutputFormat()) as writer:
        writer.write(NOISE)
        writer.commit()
    plain, chosen = paths(tmp_path / "plain"), paths(tmp_path / "chosen")
    separate_song(tiny, tmp_path / "song.wav", plain, SeparationOptions())
    separate_song(
        tiny, tmp_path / "song.wav", chosen, SeparationOptions(sample_rate="source", channels="source")
    )
    assert {name: path.read_bytes() for name, path in plain.items()} == {
        name: path.read_bytes() for name, path in chosen.items()
    }
    result = separate_song(tiny, tmp_path / "song.wav", chosen, SeparationOptions(sample_rate="48000"))
    with AudioReader(chosen["drums"], sample_rate=None) as reader:
        (block,) = reader.blocks(1 << 16)
    assert reader.sample_rate == 48000
    assert len(block) == result.samples == round(len(NOISE) * 48000 / 44100)


def test_a_codec_that_cannot_have_the_songs_rate_is_refused_and_leaves_nothing(
    tmp_path: Path, tiny: SpleeterSeparator
) -> None:
    with AudioWriter(tmp_path / "song.wav", OutputFormat()) as writer:
        writer.write(NOISE)
        writer.commit()
    source = SeparationOptions(codec="opus", sample_rate="source")
    with pytest.raises(
        ConfigurationError, match=r"opus cannot have the sample rate 44100\. It can have 48000 Hz"
    ):
        separate_song(tiny, tmp_path / "song.wav", paths(tmp_path), source)
    assert [path.name for path in tmp_path.iterdir()] == ["song.wav"]
