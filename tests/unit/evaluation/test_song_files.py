"""Songs are found in directories of stems and in musdb's files."""

from pathlib import Path

import pytest

from spleeter_microservice.errors import AmbiguousStemError, NoSongsError
from spleeter_microservice.evaluation.song_files import Track, find_songs
from tests.support.song_folders import mixed, stems, write_musdb, write_song

FOUR = ("drums", "bass", "other", "vocals")


def test_each_directory_with_audio_is_a_song_named_by_its_path(tmp_path: Path) -> None:
    for name in ("b", "a/one", "a/two"):
        write_song(tmp_path / name, stems("vocals", "drums"))
    assert [song.name for song in find_songs(tmp_path)] == ["a/one", "a/two", "b"]
    (song,) = find_songs(tmp_path / "b")
    assert song.name == "b"
    assert (set(song.stems), song.mixture) == ({"vocals", "drums"}, None)


def test_a_mixture_is_not_a_stem_and_names_are_lower_case(tmp_path: Path) -> None:
    waveforms = stems("Vocals", "drums")
    write_song(tmp_path / "song", waveforms | {"mixture": mixed(waveforms)})
    (tmp_path / "song" / "cover.jpg").write_bytes(b"no audio")
    (tmp_path / "song" / "._vocals.wav").write_bytes(b"metadata from macOS")
    (song,) = find_songs(tmp_path)
    assert song.mixture == Track(tmp_path / "song" / "mixture.wav")
    assert sorted(song.stems) == ["drums", "vocals"]


def test_a_musdb_file_has_five_tracks(tmp_path: Path) -> None:
    path = write_musdb(tmp_path / "test" / "A - B.stem.mp4", stems(*FOUR))
    (song,) = find_songs(tmp_path)
    assert (song.name, song.mixture) == ("test/A - B", Track(path, 0))
    assert song.stems == {name: Track(path, i) for i, name in enumerate(FOUR, 1)}


def test_two_files_for_one_stem_are_refused(tmp_path: Path) -> None:
    write_song(tmp_path / "song", stems("vocals"))
    write_song(tmp_path / "song", stems("vocals"), suffix="WAV")
    with pytest.raises(AmbiguousStemError, match=r"two files for vocals: vocals.WAV and vocals.wav"):
        find_songs(tmp_path)


def test_a_directory_without_songs_or_a_missing_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoSongsError, match="has no songs with stems"):
        find_songs(tmp_path)
    with pytest.raises(NoSongsError, match="is not a directory"):
        find_songs(tmp_path / "missing")
