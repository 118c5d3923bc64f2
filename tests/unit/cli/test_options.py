"""The flags of the command line are those of the options' declarations."""

from __future__ import annotations

import argparse

import pytest

from spleeter_microservice.cli.options import add_options, read_options
from spleeter_microservice.errors import ConfigurationError
from spleeter_microservice.separation.options import SeparationOptions


def parsed(*arguments: str) -> SeparationOptions:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return read_options(parser.parse_args(arguments))


def test_without_flags_the_options_have_their_defaults() -> None:
    assert parsed() == SeparationOptions()


def test_flags_have_their_short_and_long_spelling() -> None:
    short = parsed("-c", "mp3", "-b", "64k", "-s", "1.5", "-d", "2")
    long = parsed("--codec", "mp3", "--bitrate", "64k", "--offset", "1.5", "--duration", "2")
    assert short == long == SeparationOptions(codec="mp3", bitrate="64k", offset=1.5, duration=2.0)


def test_a_flag_is_the_option_s_name_unless_the_declaration_says_otherwise() -> None:
    assert parsed("--mwf", "--bit-depth", "24", "--bandwidth", "full") == SeparationOptions(
        mwf=True, bit_depth="24", bandwidth="full"
    )


def test_a_flag_without_a_value_sets_the_value_of_its_declaration() -> None:
    assert parsed("--strict", "--track", "2", "--keep-delay", "--no-tags") == SeparationOptions(
        damaged="refuse", track="2", keep_delay=True, tags=False
    )


def test_flags_of_several_values_can_be_repeated_or_have_lists() -> None:
    assert parsed(
        "--only", "vocals,bass", "--only", "drums", "--without", "bass", "--mix", "a=b", "--mix", "c"
    ) == (SeparationOptions(only=("vocals", "bass", "drums"), without=("bass",), mixes={"a": "b", "c": "c"}))


def test_a_preset_stands_for_flags_and_gives_way_to_them() -> None:
    assert parsed("--preset", "karaoke", "-b", "96k") == SeparationOptions(
        preset="karaoke",
        mixes={"karaoke": "instrumental"},
        only=("karaoke",),
        level="prevent-clipping",
        codec="mp3",
        bitrate="96k",
    )


def test_an_impossible_value_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="offset"):
        parsed("--offset", "-1")


def test_a_command_may_have_some_of_the_flags() -> None:
    parser = argparse.ArgumentParser()
    add_options(parser, ("mwf",))
    assert read_options(parser.parse_args(["--mwf"])) == SeparationOptions(mwf=True)
    with pytest.raises(SystemExit):
        parser.parse_args(["--codec", "mp3"])
