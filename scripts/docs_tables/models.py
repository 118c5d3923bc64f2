"""The tables of models in README.md and docs/models.md."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from scripts.markdown import table
from spleeter_microservice.models.catalogue import CATALOGUE, RELEASE_URL, BuiltIn, ModelEntry


def _models() -> Iterator[str]:
    return table(("Model", "Stems", "Source", "Size", "Licence", "Quality"), map(_row, CATALOGUE))


def _row(entry: ModelEntry) -> tuple[str, ...]:
    quality = "experimental" if entry.experimental else entry.quality
    size = f"{entry.size / 1e6:.0f} MB"
    return f"`{entry.name}`", ", ".join(entry.stems), _source(entry), size, entry.licence, quality


def _source(entry: ModelEntry) -> str:
    source = entry.source
    if isinstance(source, BuiltIn):
        return f"built in; replaces `{source.replaces}` until that is installed"
    place = "the package index" if source.in_wheel else urlsplit(RELEASE_URL).hostname
    return f"`models pull {entry.name}`, from {place}"


def _weights() -> Iterator[str]:
    releases = (entry for entry in CATALOGUE if not isinstance(entry.source, BuiltIn))
    return table(("Model", "Bytes", "SHA-256"), (_weights_row(entry) for entry in releases))


def _weights_row(entry: ModelEntry) -> tuple[str, ...]:
    return f"`{entry.name}`", f"{entry.size:,}", f"`{entry.sha256}`"


TABLES = {"models": _models, "weights": _weights}
