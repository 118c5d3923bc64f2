"""Films keep their pictures, and stay in step with their new sound."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import pytest

from spleeter_microservice.errors import NoPicturesError
from spleeter_microservice.separation.options import SeparationOptions
from spleeter_microservice.separation.song import separate_song
from spleeter_microservice.separation.spleeter.network import OnnxNetworks
from spleeter_microservice.separation.spleeter.pipeline import SpleeterSeparator
from spleeter_microservice.separation.stem_paths import stem_paths
from tests.support.audio_files import encode_kind, noise, with_pictures
from tests.support.films import FLASH, check_step, click, film
from tests.support.random_models import TINY, written

ALL = SeparationOptions(video={"all": "vocals+drums+other"}, bandwidth="full")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> SpleeterSeparator:
    folder = tmp_path_factory.mktemp("tiny")
    written(TINY, folder)
    return SpleeterSeparator(TINY, OnnxNetworks(folder, TINY))


def pictures(path: Path) -> list[bytes]:
    with av.open(str(path), "r") as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize(
    ("muxer", "ending", "late", "facts"),
    [
        ("mp4", "mp4", 0.5, {"rotation": 90}),
        ("mp4", "mp4", 0, {"early": 7}),  # which an edit list hides
        ("mov", "mp4", 0.0123, {"audio": "pcm_s16le", "rotation": 270}),
        ("mov", "mkv", 0.25, {"video": "prores"}),
        ("matroska", "mkv", 0.5, {"audio": "flac", "rotation": 90}),
        ("webm", "mkv", 0.5, {"video": "libvpx-vp9", "audio": "libopus"}),
        ("mpegts", "mkv", 0.25, {"video": "mpeg2video", "audio": "mp2"}),
    ],
)
@pytest.mark.parametrize("keep_delay", [False, True])
def test_the_pictures_stay_and_flash_when_the_new_sound_clicks(
    tmp_path: Path,
    tiny: SpleeterSeparator,
    muxer: str,
    ending: str,
    late: float,
    facts: dict[str, Any],
    *,
    keep_delay: bool,
) -> None:
    sounds = {"eng": click(FLASH - late, 1.0)}
    source = film(tmp_path / "film", muxer, sounds, late=late, **{"video": "libx264"} | facts)
    chosen = SeparationOptions(**vars(ALL) | {"keep_delay": keep_delay})
    paths = stem_paths(source, ["all"], tmp_path, "{instrument}.{codec}", "wav", chosen.video)
    result = separate_song(tiny, source, paths, chosen)
    path = result.mixes["all"].path
    assert path.name == f"all.{ending}"
    check_step(path.read_bytes(), facts.get("rotation", 0))
    assert pictures(path) == pictures(source)


@pytest.mark.parametrize("kind", ["song", "cover"])
def test_a_file_without_pictures_is_refused_and_leaves_nothing(
    tmp_path: Path, tiny: SpleeterSeparator, kind: str
) -> None:
    source = tmp_path / "song"
    if kind == "cover":
        with_pictures(source, noise(5000), "mp4", "mjpeg", "aac", cover=True)
    else:
        encode_kind(source, noise(5000), "mp3")
    with pytest.raises(NoPicturesError, match="song is not a film"):
        separate_song(tiny, source, {"all": tmp_path / "all.mp4"}, ALL)
    assert list(tmp_path.iterdir()) == [source]


def test_a_film_that_breaks_off_keeps_the_pictures_that_it_has(
    tmp_path: Path, tiny: SpleeterSeparator
) -> None:
    whole = film(tmp_path / "film", "matroska", {"eng": click(FLASH, 2.0)}, audio="flac", pictures=250)
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    result = separate_song(tiny, whole, {"all": tmp_path / "all.mkv"}, ALL)
    data = result.mixes["all"].path.read_bytes()
    with av.open(io.BytesIO(data), "r") as container:
        assert 10 < sum(1 for _ in container.decode(video=0)) < 250
    assert [warning.code for warning in result.warnings]
