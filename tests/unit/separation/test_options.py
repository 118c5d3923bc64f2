"""Options are declared once, and impossible values are refused with those that are possible."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spleeter_microservice.errors import ConfigurationError
from spleeter_microservice.jobs.job import JobOptions
from spleeter_microservice.separation.declarations import Option, declared_options
from spleeter_microservice.separation.options import SeparationOptions

EVERY = pytest.mark.parametrize(
    "option",
    [*declared_options(SeparationOptions), *declared_options(JobOptions)],
    ids=lambda option: option.name,
)


@EVERY
def test_every_default_is_possible(option: Option) -> None:
    option.check(option.default)


@EVERY
def test_every_help_is_a_sentence(option: Option) -> None:
    assert option.help[0].isupper()
    assert option.help.endswith(".")


@pytest.mark.parametrize("kind", [SeparationOptions, JobOptions])
def test_best_quality_changes_what_was_not_chosen(kind: type[SeparationOptions]) -> None:
    def chosen(**values: Any) -> tuple[bool, str]:
        options = kind(**values)
        options.check()
        return options.mwf, options.bandwidth

    assert chosen() == (False, "official")
    assert chosen(quality="best") == (True, "full")
    assert chosen(quality="best", mwf=False) == (False, "full")
    assert chosen(quality="best", bandwidth="official") == (True, "official")
    assert chosen(mwf=True) == (True, "official")


def test_the_defaults_go_together() -> None:
    SeparationOptions().check()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param({"codec": "exe"}, "Invalid codec 'exe'. Choose one of wav, flac", id="codec"),
        pytest.param({"bandwidth": "16kHz"}, "Choose one of official, full", id="bandwidth"),
        pytest.param({"offset": -1.0}, "Invalid offset -1.0. Choose 0 to 1,000,000 seconds", id="negative"),
        pytest.param({"offset": float("nan")}, "Invalid offset nan", id="nan"),
        pytest.param({"offset": None}, "Invalid offset None", id="none"),
        pytest.param({"offset": "1"}, "Invalid offset '1'", id="text"),
        pytest.param({"duration": 0.0}, "Choose more than 0, at most 1,000,000 seconds", id="zero"),
        pytest.param({"duration": 1e7}, "Invalid duration", id="too long"),
        pytest.param({"mwf": "yes"}, "Invalid mwf 'yes'. Choose True or False", id="not a boolean"),
        pytest.param({"level": "loud"}, "a loudness of -70 to 0 LUFS, such as -14", id="level"),
        pytest.param({"level": 14}, "Invalid level '14'", id="loudness"),
        pytest.param({"level": "nan"}, "Invalid level 'nan'", id="no loudness"),
        pytest.param({"level_each": True}, "while the level is as-is", id="each level"),
        pytest.param({"codec": "mp3", "bitrate": "1k"}, "It can have 32k to 320k", id="bitrate"),
        pytest.param({"codec": "mp3", "bit_depth": "16"}, "Leave the bit depth out", id="bit depth"),
    ],
)
def test_an_impossible_value_is_refused_with_the_possible_ones(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SeparationOptions(**values).check()
    assert message in str(caught.value)


@pytest.mark.parametrize("number", [1, 1.5, np.float32(1.5), np.int64(1)], ids=repr)
def test_seconds_are_any_kind_of_number(number: Any) -> None:
    SeparationOptions(offset=number, duration=number).check()
