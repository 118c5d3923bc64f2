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
        references: names of the song's stems.
        overlaps: whether it has parts that other targets have, too.
    """

    name: str
    estimates: tuple[str, ...]
    references: tuple[str, ...]
    overlaps: bool = False


@dataclass(frozen=True)
class Matching:
    """The targets of a song, and why the remaining stems cannot be judged."""

    targets: tuple[Target, ...]
    unscored: Mapping[str, str]


def match(stems: Collection[str], song_stems: Collection[str]) -> Matching:
    """Match what a model separates with the stems that a song has.

    Names answer to themselves. An accompaniment is the sum of all that is not vocals, on either
    side. A piano belongs to ``other`` where it is no stem of its own, on either side. Names that
    are neither the model's nor these are used for the accompaniment alone.

    Args:
        stems: what the model separates.
        song_stems: names of the song's stems.
    """
    targets: list[Target] = []
    unscored: dict[str, str] = {}
    for name in stems:
        found = _target(name, stems, song_stems)
        if isinstance(found, Target):
            targets.append(found)
        else:
            unscored[name] = found
    overall = _accompaniment(stems, song_stems) if ACCOMPANIMENT not in stems else None
    matched = {name for target in targets for name in target.estimates}
    return Matching(
        (*targets, *([overall] if overall else [])),
        {name: reason for name, reason in unscored.items() if name not in matched},
    )


def _target(name: str, stems: Collection[str], song_stems: Collection[str]) -> Target | str:
    if name == ACCOMPANIMENT:
        return _accompaniment(stems, song_stems) or "the song has nothing but vocals"
    if name == OTHER and OTHER in song_stems:
        return _other(stems, song_stems)
    return Target(name, (name,), (name,)) if name in song_stems else f"the song has no stem {name}"


def _accompaniment(stems: Collection[str], song_stems: Collection[str]) -> Target | None:
    """The sum of all that is not vocals, if the model separates these."""
    if ACCOMPANIMENT in stems:
        estimates: tuple[str, ...] = (ACCOMPANIMENT,)
    else:
        estimates = tuple(name for name in stems if name != VOCALS)
        if VOCALS not in stems or len(estimates) < 2:
            return None
    references = tuple(name for name in song_stems if name != VOCALS)
    if ACCOMPANIMENT in song_stems:
        references = (ACCOMPANIMENT,)
    return Target(ACCOMPANIMENT, estimates, references, overlaps=len(estimates) > 1) if references else None


def _other(stems: Collection[str], song_stems: Collection[str]) -> Target | str:
    """``other`` is what no further stem of the model has, so it depends on these."""
    strangers = sorted(set(song_stems) - set(stems) - _KNOWN)
    if strangers:
        return f"what the song calls other may lack {' and '.join(strangers)}"
    estimates: tuple[str, ...] = (OTHER,)
    references: tuple[str, ...] = (OTHER,)
    if PIANO in stems and PIANO not in song_stems:
        estimates = (OTHER, PIANO)
    if PIANO in song_stems and PIANO not in stems:
        references = (OTHER, PIANO)
    return Target("+".join(estimates), estimates, references)
