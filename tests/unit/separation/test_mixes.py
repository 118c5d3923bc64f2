"""Mixes are read from expressions, and what cannot be mixed is refused with a sentence."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from spleeter_microservice.errors import ConfigurationError
from spleeter_microservice.separation.options import SeparationOptions

FOUR = ("vocals", "drums", "bass", "other")
TWO = ("vocals", "accompaniment")
CASES = json.loads(Path(__file__).with_name("mix_cases.json").read_text(encoding="utf-8"))
"""A mix beside ``taken=vocals`` of two stems, and whether it is possible; the page's tests read them too."""


@pytest.mark.parametrize(
    ("options", "stems", "recipes"),
    [
        ({"mixes": {"k": "accompaniment+vocals@-20dB"}}, TWO, {"k": {"accompaniment": 1, "vocals": 0.1}}),
        ({"mixes": "k= drums @ +20 db + bass@-20"}, FOUR, {"k": {"drums": 10, "bass": 0.1}}),
        ({"mixes": ["instrumental"]}, TWO, {"instrumental": {"accompaniment": 1}}),
        ({"mixes": ["instrumental"]}, FOUR, {"instrumental": {"drums": 1, "bass": 1, "other": 1}}),
        ({"mixes": ["acapella", "a=acapella@20"]}, TWO, {"acapella": {"vocals": 1}, "a": {"vocals": 10}}),
        ({"mixes": ["k=instrumental"]}, ("vocals", "instrumental"), {"k": {"instrumental": 1}}),
        ({"without": "drums"}, FOUR, {"no_drums": {"vocals": 1, "bass": 1, "other": 1}}),
        ({"without": ["drums", "bass, drums"]}, FOUR, {"no_drums_bass": {"vocals": 1, "other": 1}}),
        ({"only": "bass"}, FOUR, {}),
        (
            {"mixes": "k=bass@-20", "without": "vocals", "video": ["f=k", "g=no_vocals", "h=drums@-20"]},
            ("vocals", "drums", "bass"),
            {
                "k": {"bass": 0.1}, "no_vocals": {"drums": 1, "bass": 1},
                "f": {"bass": 0.1}, "g": {"drums": 1, "bass": 1}, "h": {"drums": 0.1},
            },
        ),
    ],
)  # fmt: skip
def test_an_expression_is_a_weighted_sum(options: Any, stems: tuple[str, ...], recipes: Any) -> None:
    chosen = SeparationOptions(**options)
    chosen.check()
    assert chosen.recipes(stems) == {name: pytest.approx(recipe) for name, recipe in recipes.items()}
    assert chosen.mix_names == tuple(recipes)
    assert SeparationOptions(**vars(chosen)) == chosen


@pytest.mark.parametrize(
    ("only", "names"),
    [
        ((), (*TWO, "k", "no_vocals")),
        ("vocals", ("vocals", "k", "no_vocals")),
        ("k", ("k", "no_vocals")),
        (["k", "vocals"], ("vocals", "k", "no_vocals")),
    ],
)
def test_only_picks_stems_and_every_mix_is_written(only: Any, names: tuple[str, ...]) -> None:
    assert SeparationOptions(only=only, mixes={"k": "vocals@-3"}, without=("vocals",)).outputs(TWO) == names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mixes": "k=vocals+"}, "Invalid mix 'vocals+'. Write a sum of stems"),
        ({"mixes": "k="}, "Invalid mix"),
        ({"mixes": ""}, "Invalid name of a mix ''"),
        ({"mixes": "vocals+bass"}, "Write NAME=EXPRESSION"),
        ({"mixes": "k=vocals@loud"}, "Invalid mix 'vocals@loud'"),
        ({"mixes": "k=vocals@"}, "Invalid mix"),
        ({"mixes": "k=vocals@25"}, "a gain of -120 to 24 dB"),
        ({"mixes": "k=vocals@nan"}, "Invalid mix"),
        ({"mixes": "k=" + "vocals+" * 40}, "too long"),
        ({"mixes": {"k": 5}}, "no 5"),
        ({"mixes": {"k\n": "vocals"}}, "Invalid name of a mix"),
        ({"mixes": "../k=vocals"}, "Invalid name of a mix '../k'"),
        ({"mixes": "aux=vocals"}, "that a file can have"),
        ({"mixes": "k" * 41 + "=vocals"}, "up to 40 letters"),
        ({"mixes": ["k=vocals", "k=drums"]}, "The mix k is defined twice"),
        ({"mixes": ["k=vocals", "K=drums"]}, "have the same name"),
        ({"mixes": ["no_drums=vocals"], "without": "drums"}, "have the same name"),
        ({"mixes": [f"k{i}=vocals" for i in range(8)], "without": "drums"}, "9 mixes are requested"),
        ({"mixes": "Drums=vocals"}, "The mix Drums has the name of a stem"),
        ({"mixes": "k=piano+vocals"}, "The model has the stems vocals, drums, bass, other, but no piano"),
        ({"mixes": "k=instrumental+bass@-6"}, "The mix k has the stem bass twice"),
        ({"without": "piano"}, "but no piano"),
        ({"without": FOUR}, "Leave out fewer stems"),
        ({"only": "vocals, piano"}, "but no piano"),
        ({"only": "k"}, "but no k"),
    ],
)
def test_what_cannot_be_mixed_is_refused(options: Any, message: str) -> None:
    def choose() -> None:
        chosen = SeparationOptions(**options)
        chosen.check()
        chosen.outputs(FOUR)

    with pytest.raises(ConfigurationError) as caught:
        choose()
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["instrumental", "acapella"])
def test_a_model_without_vocals_has_neither_an_instrumental_nor_an_acapella(name: str) -> None:
    with pytest.raises(ConfigurationError, match="The model has the stems speech, noise, but no vocals"):
        SeparationOptions(mixes={name: name}).outputs(("speech", "noise"))


@pytest.mark.parametrize(("name", "expression", "possible"), CASES)
def test_what_the_page_checks_is_what_is_refused(name: str, expression: str, possible: bool) -> None:
    chosen = SeparationOptions(mixes={"taken": "vocals", name: expression})
    with nullcontext() if possible else pytest.raises(ConfigurationError):
        chosen.check()
        chosen.recipes(TWO)
