"""Matching of a model's stems with a song's reference stems."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from spleeter_microservice.evaluation.song_files import ACCOMPANIMENT, VOCALS

OTHER = "other"
PIANO = "piano"
_KNOWN = frozenset((VOCALS, "drums", "bass", PIANO, OTHER, ACCOMPANIMENT))


@dataclass(frozen=True)
class Target:
    """A sum of estimates and the sum of reference stems that it should equal.

    Attributes:
        name: name of the stem, or of several stems, joined by ``+``.
        estimates: names of the model's stems.
        references: names of the song's stems.
        overlaps: whether other targets have some of the same stems.
    """

    name: str
    estimates: tuple[str, ...]
    references: tuple[str, ...]
    overlaps: bool = False


def match(stems: Collection[str], song_stems: Collection[str]) -> tuple[list[Target], dict[str, str]]:
    """Match the stems of a model with those of a song.

    Stems of the same name match. On both sides, an accompaniment is the sum of all stems except
    vocals, and a piano without a stem of its own belongs to ``other``. A song's stems with other
    names count only towards the accompaniment.

    Args:
        stems: names of the model's stems.
        song_stems: names of the song's stems.

    Returns:
        the targets, and the reasons why the other stems cannot be scored.
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
    return (
        [*targets, *([overall] if overall else [])],
        {name: reason for name, reason in unscored.items() if name not in matched},
    )


def _target(name: str, stems: Collection[str], song_stems: Collection[str]) -> Target | str:
    if name == ACCOMPANIMENT:
        return _accompaniment(stems, song_stems) or "the song has nothing but vocals"
    if name == OTHER and OTHER in song_stems:
        return _other(stems, song_stems)
    return Target(name, (name,), (name,)) if name in song_stems else f"the song has no stem {name}"


def _accompaniment(stems: Collection[str], song_stems: Collection[str]) -> Target | None:
    """Return the sum of all stems except vocals, or None if it cannot be scored."""
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
    """Return the target for ``other``, which includes all that the model has no stem for."""
    unknown = sorted(set(song_stems) - set(stems) - _KNOWN)
    if unknown:
        return f"the song's stem other may lack {' and '.join(unknown)}"
    estimates: tuple[str, ...] = (OTHER,)
    references: tuple[str, ...] = (OTHER,)
    if PIANO in stems and PIANO not in song_stems:
        estimates = (OTHER, PIANO)
    if PIANO in song_stems and PIANO not in stems:
        references = (OTHER, PIANO)
    return Target("+".join(estimates), estimates, references)
