"""Mixes: weighted sums of stems, written as expressions such as ``accompaniment+vocals@-18dB``."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

from spleeter_microservice.audio.codecs import refused
from spleeter_microservice.errors import ConfigurationError

MIX_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$"
"""Regular expression of a mix's name, which becomes part of file names and addresses."""
MOST_MIXES = 8
LONGEST_EXPRESSION = 200
"""Characters of an expression."""

ALL_STEMS = "stems"
"""Name of a file with all stems, each in a track of its own."""

Recipe = Mapping[str, float]
"""Factor of each stem in a mix."""

_VOCALS = "vocals"
_ALL_BUT_VOCALS, _ONLY_VOCALS = "instrumental", "acapella"
_HIGHEST_GAIN = 24.0  # dB
_LOWEST_GAIN = -120.0  # dB
_PLUS = re.compile(r"(?<!@)(?<!@ )\+")  # but not the sign of a gain
_GAIN = re.compile(r"([+-]?\d{1,3}(\.\d{1,6})?)(dB)?", re.ASCII | re.IGNORECASE)
_OF_WINDOWS = re.compile(r"con|prn|aux|nul|(com|lpt)\d", re.IGNORECASE)  # no file can have these names


def read_mixes(value: Mapping[str, str] | Iterable[str] | str | None) -> dict[str, str]:
    """Return the expressions of mixes by name.

    Args:
        value: these, or texts like ``NAME=EXPRESSION``; a lone expression is also the mix's name.

    Raises:
        ConfigurationError: if two mixes have the same name.
    """
    if isinstance(value, Mapping):
        return {str(name): str(expression) for name, expression in value.items()}
    mixes: dict[str, str] = {}
    for text in [value] if isinstance(value, str) else value or ():
        name, equals, expression = text.partition("=")
        if name.strip() in mixes:
            raise ConfigurationError(f"The mix {name.strip()} is defined twice. Give each a name of its own.")
        mixes[name.strip()] = (expression if equals else name).strip()
    return mixes


def read_names(value: Iterable[str] | str | None) -> tuple[str, ...]:
    """Return names that are separated by commas or in a list, each once."""
    texts = [value] if isinstance(value, str) else value or ()
    return tuple(dict.fromkeys(name.strip() for text in texts for name in text.split(",") if name.strip()))


def name_without(stems: Iterable[str]) -> str:
    """Return the name of the mix of all stems but these."""
    return "_".join(["no", *stems])


def check_mixes(
    mixes: Mapping[str, str], without: Collection[str], video: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Raise an error if no model can make the mixes.

    Raises:
        ConfigurationError: if a name or an expression is malformed, or two mixes cannot both be files.
    """
    names = [*mixes, *([name_without(without)] if without else []), *video]
    if len(names) > MOST_MIXES:
        raise ConfigurationError(f"{len(names)} mixes are requested. Ask for at most {MOST_MIXES}.")
    for name in names:
        if not re.fullmatch(MIX_NAME, name) or _OF_WINDOWS.fullmatch(name):
            raise ConfigurationError(
                f"Invalid name of a mix {name!r}. Write NAME=EXPRESSION, with a name of up to 40 letters, "
                "digits, hyphens and underscores that a file can have."
            )
    if len({name.lower() for name in names}) < len(names):
        raise ConfigurationError(f"Two of the mixes {', '.join(names)} have the same name. Rename one.")
    for expression in (*mixes.values(), *video.values()):
        _terms(expression)


def recipes(
    mixes: Mapping[str, str],
    without: Collection[str],
    stems: Collection[str],
    video: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Recipe]:
    """Return the recipe of each mix, and of each film's sound, that a model with these stems can make.

    Raises:
        ConfigurationError: if a mix needs a stem that the model does not have, or has a stem's name.
    """
    made = {name: _recipe(name, expression, stems) for name, expression in mixes.items()}
    if without:
        made[name_without(without)] = _all_but(without, stems)
    made |= {name: made.get(mix) or _recipe(name, mix, stems) for name, mix in video.items()}
    for name in made:
        if name.lower() in {stem.lower() for stem in stems}:
            raise ConfigurationError(f"The mix {name} has the name of a stem. Choose another name for it.")
    return made


def track_recipes(tracks: Sequence[str], stems: Collection[str]) -> dict[str, Recipe]:
    """Return what each track of a file of all stems holds: its stem, and ``other`` those without a track too.

    Raises:
        ConfigurationError: if a model with these stems does not have one for each track.
    """
    if not set(tracks) <= set(stems):
        reason = f"The file needs the stems {', '.join(tracks)}, but the model has {', '.join(stems)}."
        raise refused("codec", f"{reason} Choose a model that has them, such as 4stems, or another codec.")
    rest = [stem for stem in stems if stem not in tracks]
    return {track: dict.fromkeys([track, *(rest if track == "other" else [])], 1.0) for track in tracks}


def refuse_unknown(names: Iterable[str], stems: Collection[str]) -> None:
    """Raise an error if a name is not one of the stems.

    Raises:
        ConfigurationError: naming the stems of the model.
    """
    for name in names:
        if name not in stems:
            raise ConfigurationError(f"The model has the stems {', '.join(stems)}, but no {name[:50]}.")


def _terms(expression: str) -> list[tuple[str, float]]:
    """Return the names and factors in an expression."""
    if len(expression) > LONGEST_EXPRESSION:
        raise ConfigurationError(
            f"The mix {expression[:20]}… is too long. Use {LONGEST_EXPRESSION} characters."
        )
    found = []
    for term in _PLUS.split(expression):
        name, at, gain = term.partition("@")
        match = _GAIN.fullmatch("".join(gain.split())) if at else None
        decibel = float(match[1]) if match else 0.0
        if not name.strip() or (at and not match) or not _LOWEST_GAIN <= decibel <= _HIGHEST_GAIN:
            raise ConfigurationError(
                f"Invalid mix {expression!r}. Write a sum of stems, each with a gain of {_LOWEST_GAIN:g} to "
                f"{_HIGHEST_GAIN:g} dB if it should be louder or quieter, such as accompaniment+vocals@-18dB."
            )
        found.append((name.strip(), math.pow(10, decibel / 20)))
    return found


def _recipe(mix: str, expression: str, stems: Collection[str]) -> Recipe:
    recipe: dict[str, float] = {}
    for name, factor in _terms(expression):
        part: Recipe = {name: 1.0}
        if name not in stems and name == _ALL_BUT_VOCALS:
            part = _all_but([_VOCALS], stems)
        elif name not in stems and name == _ONLY_VOCALS:
            part = {_VOCALS: 1.0}
        refuse_unknown(part, stems)
        if twice := [stem for stem in part if stem in recipe]:
            raise ConfigurationError(f"The mix {mix} has the stem {twice[0]} twice. Name it once.")
        recipe |= dict.fromkeys(part, factor)
    return recipe


def _all_but(without: Collection[str], stems: Collection[str]) -> Recipe:
    refuse_unknown(without, stems)
    if not (left := [stem for stem in stems if stem not in without]):
        raise ConfigurationError("A mix without any stem would be silent. Leave out fewer stems.")
    return dict.fromkeys(left, 1.0)
