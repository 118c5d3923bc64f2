"""The table of codecs in docs/cli.md."""

from __future__ import annotations

from collections.abc import Iterator

from scripts.markdown import table
from spleeter_microservice.audio.codecs import CODECS, Codec

_COLUMNS = ("Codec", "Format", "Media type", "Bitrate", "Bit depth", "Sample rates in Hz")


def _codecs() -> Iterator[str]:
    return table(_COLUMNS, map(_row, CODECS.values()))


def _row(codec: Codec) -> tuple[object, ...]:
    depths = ", ".join(f"`{depth}`" for depth in codec.encoders if depth)
    bitrate = "lossless"
    if codec.kilobits:
        low, high = codec.kilobits
        bitrate = f"`{low}k` to `{high}k`, `{codec.default_bitrate}` by default"
        if codec.steps:
            bitrate += f"; the nearest of {', '.join(map(str, codec.steps))}"
    return f"`{codec.name}`", codec.title, f"`{codec.media_type}`", bitrate, depths, codec.possible_rates


TABLES = {"codecs": _codecs}
