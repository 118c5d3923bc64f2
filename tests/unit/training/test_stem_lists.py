"""Lists of stems in Spleeter's format are read; errors name the line and the column."""

from pathlib import Path

import pytest

from spleeter_microservice.errors import TrainingDataError
from spleeter_microservice.evaluation.song_files import Track
from spleeter_microservice.training.stem_lists import read_stem_list
from tests.support.training_songs import INSTRUMENTS, write_list, write_songs

HEADING = "mix_path,vocals_path,accompaniment_path,duration\n"


def test_the_songs_of_a_list_are_read_in_order(tmp_path: Path) -> None:
    data = write_songs(tmp_path / "data")
    path = write_list(tmp_path / "train.csv", ["song 1", "song 0"])
    examples = read_stem_list(path, data, "mix", INSTRUMENTS)
    assert [example.mix for example in examples] == [
        (Track(data / song / "mixture.wav"),) for song in ("song 1", "song 0")
    ]
    assert examples[0].stems == (
        (Track(data / "song 1" / "vocals.wav"),),
        (Track(data / "song 1" / "accompaniment.wav"),),
    )
    assert examples[0].duration == 1.0
    assert examples[1].name == f"{path}, line 3"


def test_the_order_of_the_columns_does_not_matter(tmp_path: Path) -> None:
    data = write_songs(tmp_path / "data", 1)
    path = tmp_path / "train.csv"
    path.write_text(
        "title,duration,accompaniment_path,vocals_path,m_path\n"
        '"Song, 0",1,song 0/accompaniment.wav,song 0/vocals.wav,song 0/mixture.wav\n',
        encoding="utf-8-sig",
    )
    (example,) = read_stem_list(path, data, "m", INSTRUMENTS)
    assert [source[0].path.stem for source in example.sources] == ["mixture", *INSTRUMENTS]


def test_without_a_duration_column_the_duration_is_read_from_the_mix(tmp_path: Path) -> None:
    data = write_songs(tmp_path / "data", 1)
    path = tmp_path / "train.csv"
    path.write_text(
        HEADING.replace(",duration", "") + "song 0/mixture.wav,song 0/vocals.wav,song 0/accompaniment.wav\n"
    )
    (example,) = read_stem_list(path, data, "mix", INSTRUMENTS)
    assert example.duration == pytest.approx(1.0)


GOOD = "song 0/mixture.wav,song 0/vocals.wav,song 0/accompaniment.wav,1\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            HEADING.replace("vocals", "voice") + GOOD,
            "lacks the columns vocals_path; it has mix_path, voice_path",
        ),
        ("", "lacks the columns mix_path, vocals_path, accompaniment_path; it has none"),
        (HEADING, "has a header but no songs"),
        (
            HEADING + GOOD + "song 0/mixture.wav,,song 0/vocals.wav,1\n",
            "line 3: the column vocals_path is empty",
        ),
        (HEADING + GOOD + "song 0/mixture.wav\n", "line 3: the column vocals_path is empty"),
        (
            HEADING + GOOD.replace("vocals", "missing"),
            r"line 2: the file .*song 0/missing.wav \(column vocals_path\) does not exist",
        ),
        (HEADING + GOOD.replace(",1\n", ",long\n"), "line 2: the duration 'long' is not a number"),
        (HEADING + GOOD.replace(",1\n", ",-3\n"), "line 2: the duration '-3' is not a number"),
        (HEADING + GOOD.replace(",1\n", ",\n"), "line 2: the duration '' is not a number"),
        (HEADING + GOOD.replace(",1\n", ",1,2,3\n"), "line 2 has more fields than the header"),
        (HEADING + '"song 0', "is not a CSV file in UTF-8"),
    ],
)
def test_an_invalid_list_is_an_error_that_names_the_place(tmp_path: Path, text: str, words: str) -> None:
    data = write_songs(tmp_path / "data", 1)
    path = tmp_path / "train.csv"
    path.write_text(text)
    with pytest.raises(TrainingDataError, match=words):
        read_stem_list(path, data, "mix", INSTRUMENTS)


def test_a_missing_or_binary_list_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"missing.csv cannot be read: No such file"):
        read_stem_list(tmp_path / "missing.csv", tmp_path, "mix", INSTRUMENTS)
    path = tmp_path / "binary.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TrainingDataError, match="is not a CSV file in UTF-8"):
        read_stem_list(path, tmp_path, "mix", INSTRUMENTS)
