"""Examples are found in folders of songs; each stem is the sum of the right tracks."""

from pathlib import Path

import pytest

from spleeter_microservice.errors import NoSongsError, TrainingDataError
from spleeter_microservice.training.examples import Examples, Source, examples_of_folder
from tests.support.song_folders import mixed, stems, write_musdb, write_song
from tests.support.training_songs import INSTRUMENTS, write_songs

FOUR = ("drums", "bass", "other", "vocals")


def names(source: Source) -> list[str]:
    return [track.path.stem for track in source]


def songs(examples: Examples) -> tuple[list[str], list[str]]:
    return [e.name for e in examples.training], [e.name for e in examples.validation]


def test_each_song_of_a_folder_becomes_an_example_with_its_files(tmp_path: Path) -> None:
    examples = examples_of_folder(write_songs(tmp_path), INSTRUMENTS)
    assert songs(examples) == (["song 0", "song 1", "song 2"], [])
    first = examples.training[0]
    assert names(first.mix) == ["mixture"]
    assert [names(stem) for stem in first.stems] == [["vocals"], ["accompaniment"]]
    assert first.duration == pytest.approx(1.0)


def test_the_accompaniment_is_the_sum_of_all_stems_but_the_vocals(tmp_path: Path) -> None:
    write_song(tmp_path / "song", stems(*FOUR))
    (example,) = examples_of_folder(tmp_path, INSTRUMENTS).training
    assert names(example.mix) == ["bass", "drums", "other", "vocals"]
    assert [names(stem) for stem in example.stems] == [["vocals"], ["bass", "drums", "other"]]


def test_the_tracks_of_musdb_files_become_the_mix_and_the_stems(tmp_path: Path) -> None:
    write_musdb(tmp_path / "train" / "A - B.stem.mp4", stems(*FOUR))
    write_musdb(tmp_path / "test" / "C - D.stem.mp4", stems(*FOUR))
    examples = examples_of_folder(tmp_path, ("vocals", "drums", "bass", "other"))
    assert songs(examples) == (["A - B"], [])
    assert [track.stream for source in examples.training[0].sources for track in source] == [0, 4, 1, 2, 3]


def test_the_validation_songs_of_musdb_are_not_trained_on(tmp_path: Path) -> None:
    for name in ("ANiMAL - Clinic A", "ANiMAL - Rockshow", "Young Griffo - Pennies"):
        waveforms = stems(*FOUR)
        write_song(tmp_path / "train" / name, waveforms | {"mixture": mixed(waveforms)})
    assert songs(examples_of_folder(tmp_path, INSTRUMENTS)) == (
        ["ANiMAL - Clinic A"],
        ["ANiMAL - Rockshow", "Young Griffo - Pennies"],
    )


def test_the_subfolder_validation_is_used_for_validation(tmp_path: Path) -> None:
    write_songs(tmp_path / "train", 2)
    write_songs(tmp_path / "validation", 1)
    write_songs(tmp_path / "test", 1)
    assert songs(examples_of_folder(tmp_path, INSTRUMENTS)) == (["song 0", "song 1"], ["song 0"])


def test_a_song_that_lacks_a_stem_is_an_error_that_names_it(tmp_path: Path) -> None:
    write_song(tmp_path / "good", stems("vocals", "drums"))
    write_song(tmp_path / "poor", stems("drums"))
    with pytest.raises(TrainingDataError, match="poor has no stem for vocals; it has drums"):
        examples_of_folder(tmp_path, ("vocals", "drums"))


def test_a_song_whose_other_may_be_incomplete_is_refused(tmp_path: Path) -> None:
    write_song(tmp_path / "song", stems("vocals", "guitar", "other"))
    with pytest.raises(TrainingDataError, match="song has no stem for other"):
        examples_of_folder(tmp_path, ("vocals", "other"))


def test_an_unreadable_file_is_an_error_that_names_it_and_its_song(tmp_path: Path) -> None:
    write_song(tmp_path / "song", stems(*INSTRUMENTS))
    (tmp_path / "song" / "mixture.wav").write_text("no audio")
    with pytest.raises(TrainingDataError, match=r"The song song cannot be used: .*mixture.wav is not in a"):
        examples_of_folder(tmp_path, INSTRUMENTS)


def test_a_folder_without_songs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoSongsError):
        examples_of_folder(tmp_path, INSTRUMENTS)
