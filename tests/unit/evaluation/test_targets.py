"""The model's stems are matched with as many of the song's stems as possible."""

import pytest

from spleeter_microservice.evaluation.targets import match

TWO = ("vocals", "accompaniment")
FOUR = ("vocals", "drums", "bass", "other")
FIVE = ("vocals", "piano", "drums", "bass", "other")

Sums = dict[str, tuple[tuple[str, ...], tuple[str, ...]]]


def sums(stems: tuple[str, ...], *song_stems: str) -> Sums:
    return {t.name: (t.estimates, t.references) for t in match(stems, song_stems)[0]}


def alone(*names: str) -> Sums:
    return {name: ((name,), (name,)) for name in names}


def test_stems_of_the_same_name_match() -> None:
    assert sums(TWO, *TWO) == alone(*TWO)
    found = sums(FOUR, *FOUR)
    assert {name: found[name] for name in FOUR} == alone(*FOUR)


def test_the_accompaniment_is_the_sum_of_all_stems_except_vocals() -> None:
    found = sums(TWO, "vocals", "guitar", "bassdrums", "piano_synth")
    assert found["accompaniment"] == (("accompaniment",), ("guitar", "bassdrums", "piano_synth"))
    assert sums(TWO, "drums", "bass") == {"accompaniment": (("accompaniment",), ("drums", "bass"))}


def test_an_accompaniment_is_used_instead_of_its_parts() -> None:
    assert sums(TWO, "vocals", "accompaniment", "drums") == alone(*TWO)


def test_the_models_stems_are_summed_for_a_song_with_only_an_accompaniment() -> None:
    assert sums(FOUR, *TWO) == {
        **alone("vocals"),
        "accompaniment": (("drums", "bass", "other"), ("accompaniment",)),
    }
    (_, accompaniment) = match(FOUR, TWO)[0]
    assert accompaniment.overlaps
    assert match(FOUR, TWO)[1] == {
        name: f"the song has no stem {name}" for name in ("drums", "bass", "other")
    }


def test_a_piano_without_a_stem_of_its_own_belongs_to_other() -> None:
    assert sums(FOUR, *FIVE)["other"] == (("other",), ("other", "piano"))
    found = sums(FIVE, *FOUR)
    assert found["other+piano"] == (("other", "piano"), ("other",))
    assert {"other", "piano"}.isdisjoint(found)
    assert match(FIVE, FOUR)[1] == {}


def test_other_is_not_scored_if_an_unknown_stem_may_belong_to_it() -> None:
    targets, unscored = match(FOUR, ("vocals", "drums", "bass", "other", "guitar"))
    assert unscored == {"other": "the song's stem other may lack guitar"}
    assert [target.name for target in targets] == ["vocals", "drums", "bass", "accompaniment"]


@pytest.mark.parametrize("stems", [("guitar",), ("vocals",), ()])
def test_a_stem_that_the_song_lacks_is_not_scored(stems: tuple[str, ...]) -> None:
    targets, unscored = match(("drums", "bass"), stems)
    assert targets == []
    assert set(unscored) == {"drums", "bass"}


def test_stems_of_any_name_can_be_scored() -> None:
    assert sums(("guitar", "rest"), "guitar", "rest", "vocals") == alone("guitar", "rest")
