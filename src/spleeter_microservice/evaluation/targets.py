"""What of a song can be judged: which estimates answer to which of its true stems."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from spleeter_microservice.evaluation.song_files import ACCOMPANIMENT, VOCALS

OTHER = "other"
PIANO = "piano"
_KNOWN = frozenset((VOCALS, "drums", "bass", PIANO, OTHER, ACCOMPANIMENT))


@dataclass(frozen=True)
class Target:
    """A sum of estimates beside the sum of true stems that it should equal.

    Attributes:
        name: of the stem, or of several, joined by ``+``.
        estimates: names of the separated stems.
        truths: names of the song's stems.
        overlaps: whether it has parts that other targets have, too.
    """

    name: str
    estimates: tuple[str, ...]
    truths: tuple[str, ...]
    overlaps: bool = False


@dataclass(frozen=True)
class Matching:
    """The targets of a song, and why the remaining instruments cannot be judged."""

    targets: tuple[Target, ...]
    unjudged: Mapping[str, str]


def match(instruments: Collection[str], stems: Collection[str]) -> Matching:
    """Match what a model separates with the stems that a song has.

    Names answer to themselves. An accompaniment is the sum of all that is not vocals, on either
    side. A piano belongs to ``other`` where it is no stem of its own, on either side. Names that
    are neither the model's nor these are used for the accompaniment alone.

    Args:
        instruments: what the model separates.
        stems: the names of the song's stems.
    """
    targets: list[Target] = []
    unjudged: dict[str, str] = {}
    for name in instruments:
        found = _target(name, instruments, stems)
        if isinstance(found, Target):
            targets.append(found)
        else:
            unjudged[name] = found
    overall = _accompaniment(instruments, stems) if ACCOMPANIMENT not in instruments else None
    matched = {name for target in targets for name in target.estimates}
    return Matching(
        (*targets, *([overall] if overall else [])),
        {name: reason for name, reason in unjudged.items() if name not in matched},
    )


def _target(name: str, instruments: Collection[str], stems: Collection[str]) -> Target | str:
    if name == ACCOMPANIMENT:
        return _accompaniment(instruments, stems) or "the song has nothing but vocals"
    if name == OTHER and OTHER in stems:
        return _other(instruments, stems)
    return Target(name, (name,), (name,)) if name in stems else f"the song has no stem {name}"


def _accompaniment(instruments: Collection[str], stems: Collection[str]) -> Target | None:
    """The sum of all that is not vocals, if the model separates these."""
    if ACCOMPANIMENT in instruments:
        estimates: tuple[str, ...] = (ACCOMPANIMENT,)
    else:
        estimates = tuple(name for name in instruments if name != VOCALS)
        if VOCALS not in instruments or len(estimates) < 2:
            return None
    truths = tuple(name for name in stems if name != VOCALS)
    if ACCOMPANIMENT in stems:
        truths = (ACCOMPANIMENT,)
    return Target(ACCOMPANIMENT, estimates, truths, overlaps=len(estimates) > 1) if truths else None


def _other(instruments: Collection[str], stems: Collection[str]) -> Target | str:
    """``other`` is what no further stem of the model has, so it depends on these."""
    strangers = sorted(set(stems) - set(instruments) - _KNOWN)
    if strangers:
        return f"what the song calls other may lack {' and '.join(strangers)}"
    estimates: tuple[str, ...] = (OTHER,)
    truths: tuple[str, ...] = (OTHER,)
    if PIANO in instruments and PIANO not in stems:
        estimates = (OTHER, PIANO)
    if PIANO in stems and PIANO not in instruments:
        truths = (OTHER, PIANO)
    return Target("+".join(estimates), estimates, truths)
