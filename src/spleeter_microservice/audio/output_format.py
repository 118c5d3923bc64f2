"""The format of the files that a song's stems are written to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from spleeter_microservice.audio.codecs import CODECS, FILMS, Codec, Encoder, parse_bitrate, refused
from spleeter_microservice.errors import ConfigurationError


@dataclass(frozen=True)
class OutputFormat:
    """The format that the stems of a song are written in.

    Attributes:
        codec: name of the codec.
        bitrate: bitrate of a lossy codec, as in ``Codec.bits_per_second``; lossless ones ignore it.
        bit_depth: "16" (the default), "24" or, for wav and aiff, "32f" (32-bit float); lossy codecs have
            none.
        dither: whether to add noise of triangular density, two steps wide, before rounding to integers;
            ignored where nothing is rounded.
        sample_rate: sample rate in Hz; None is that of the stem, or the next higher one that the codec has.
        channels: number of channels, 1 or 2.

    Raises:
        ConfigurationError: if the values do not go together.
    """

    codec: str = "wav"
    bitrate: str | None = None
    bit_depth: str | None = None
    dither: bool = False
    sample_rate: int | None = None
    channels: int = 2
    codecs: ClassVar[Mapping[str, Codec]] = CODECS

    def __post_init__(self) -> None:
        """Refuse what no encoder can do."""
        if self.codec not in self.codecs:
            raise ConfigurationError(f"Unknown codec {self.codec!r}. Choose one of {', '.join(CODECS)}.")
        _ = self.encoder, self.bits_per_second
        codec = self.kind
        if self.sample_rate is not None and self.sample_rate not in codec.rates:
            raise refused(
                "sample_rate",
                f"The codec {self.codec} cannot have the sample rate {self.sample_rate}. "
                f"It can have {codec.possible_rates} Hz.",
            )

    @property
    def kind(self) -> Codec:
        """Codec of this format."""
        return self.codecs[self.codec]

    @property
    def encoder(self) -> Encoder:
        """Encoder of this format."""
        return self.kind.encoder(self.bit_depth)

    @property
    def bits_per_second(self) -> int | None:
        """Bitrate as a number, or None if the encoder is lossless."""
        bits = self.kind.bits_per_second(self.bitrate)
        return None if self.encoder.bits else bits

    @property
    def tracks(self) -> int:
        """Number of sound tracks in a file."""
        return 1 + len(self.kind.tracks)

    @property
    def note(self) -> str:
        """A sentence if another bitrate is used than the one asked for, else an empty text."""
        bits = self.bits_per_second
        if bits is None or self.bitrate is None or bits == parse_bitrate(self.bitrate):
            return ""
        return f"{self.codec} cannot have the bitrate {self.bitrate}; {bits // 1000}k, the nearest, is used."


class FilmFormat(OutputFormat):
    """The format of a film whose pictures are copied; ``codec`` is one of ``FILMS``."""

    codecs = FILMS
