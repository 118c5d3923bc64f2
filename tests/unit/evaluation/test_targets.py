"""What of a song can be judged is exactly what its stems allow."""

import pytest

from spleeter_microservice.evaluation.targets import match

TWO = ("vocals", "accompaniment")
FOUR = ("vocals", "drums", "bass", "other")
FIVE = ("vocals", "piano", "drums", "bass", "other")

Sums = dict[str, tuple[tuple[str, ...], tuple[str, ...]]]


def sums(stems: tuple[str, ...], *song_stems: str) -> Sums:
    return {t.name: (t.estimates, t.references) for t in match(stems, song_stems).targets}


def alone(*names: str) -> Sums:
    return {name: ((name,), (name,)) for name in names}


def test_names_answer_to_themselves() -> None:
    assert sums(TWO, *TWO) == alone(*TWO)
    found = sums(FOUR, *FOUR)
    assert {name: found[name] for name in FOUR} == alone(*FOUR)


def test_the_accompaniment_is_the_sum_of_all_that_is_not_vocals() -> None:
    found = sums(TWO, "vocals", "guitar", "bassdrums", "piano_synth")
    assert found["accompaniment"] == (("accompaniment",), ("guitar", "bassdrums", "piano_synth"))
    assert sums(TWO, "drums", "bass") == {"accompaniment": (("accompaniment",), ("drums", "bass"))}


def test_an_accompaniment_beside_its_parts_is_not_counted_twice() -> None:
    assert sums(TWO, "vocals", "accompaniment", "drums") == alone(*TWO)


def test_a_models_own_parts_are_summed_where_the_song_has_no_more_than_an_accompaniment() -> None:
    assert sums(FOUR, *TWO) == {
        **alone("vocals"),
        "accompaniment": (("drums", "bass", "other"), ("accompaniment",)),
    }
    (_, accompaniment) = match(FOUR, TWO).targets
    assert accompaniment.overlaps
    assert dict(match(FOUR, TWO).unscored) == {
        name: f"the song has no stem {name}" for name in ("drums", "bass", "other")
    }


def test_a_piano_belongs_to_other_where_it_is_no_stem_of_its_own() -> None:
    assert sums(FOUR, *FIVE)["other"] == (("other",), ("other", "piano"))
    found = sums(FIVE, *FOUR)
    assert found["other+piano"] == (("other", "piano"), ("other",))
    assert {"other", "piano"}.isdisjoint(found)
    assert dict(match(FIVE, FOUR).unscored) == {}


def test_other_is_not_judged_where_an_unknown_stem_may_belong_to_it() -> None:
    found = match(FOUR, ("vocals", "drums", "bass", "other", "guitar"))
    assert dict(found.unscored) == {"other": "what the song calls other may lack guitar"}
    assert [target.name for target in found.targets] == ["vocals", "drums", "bass", "accompaniment"]


@pytest.mark.parametrize("stems", [("guitar",), ("vocals",), ()])
def test_what_a_song_does_not_have_is_not_judged(stems: tuple[str, ...]) -> None:
    found = match(("drums", "bass"), stems)
    assert found.targets == ()
    assert set(found.unscored) == {"drums", "bass"}


def test_instruments_of_any_name_can_be_judged() -> None:
    assert sums(("guitar", "rest"), "guitar", "rest", "vocals") == alone("guitar", "rest")
