"""How stems are written: the codecs on offer and the encoder behind each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from spleeter_microservice.errors import ConfigurationError

DEFAULT_BITRATE = "128k"

_BITRATE = re.compile(r"(?P<number>\d{1,9}(\.\d{1,3})?)(?P<unit>[kK]?)")
_Options = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Encoder:
    """One of FFmpeg's encoders, and what it takes to have from it what was put in.

    ``lead`` and ``tail`` are blocks of silence, each as long as the encoder takes at once, put before
    and after the song for codecs whose decoders throw that much away; ``cuts_end`` says that the
    container can be told where the song ends, and that the encoder does not do so by itself;
    ``drops_padding``, that a last packet of nothing but padding must go, as the header would not
    count all of it. In ``container_options``, {rate} stands for the sample rate.
    """

    muxer: str
    name: str
    sample_format: str = "fltp"
    bits: int | None = None  # of an integer sample; None: the encoder takes floats
    kilobits: tuple[int, int] | None = None  # bitrates that it can be asked for; None: lossless
    options: _Options = ()
    container_options: _Options = ()
    lead: int = 0
    tail: int = 0
    cuts_end: bool = False
    drops_padding: bool = False
    clamps: bool = True


# The muxer writes the 64-bit header of RF64 only where a file passes 4 GiB.
_WAV = (("rf64", "auto"),)
# Pages of a quarter of a second, as other programs write: FFmpeg misreads the end of a song that is
# all in one page, and what is lost with a damaged page is less.
_OGG_PAGES = (("page_duration", "250000"),)

ENCODERS: Mapping[str, Mapping[str | None, Encoder]] = MappingProxyType(
    {
        "wav": {
            "16": Encoder("wav", "pcm_s16le", "s16", bits=16, container_options=_WAV),
            "24": Encoder("wav", "pcm_s24le", "s32", bits=24, container_options=_WAV),
            "32f": Encoder("wav", "pcm_f32le", "flt", container_options=_WAV, clamps=False),
        },
        "flac": {
            "16": Encoder("flac", "flac", "s16", bits=16),
            "24": Encoder("flac", "flac", "s32", bits=24),
        },
        # LAME's quality 5: in PyAV's wheels, FFmpeg's default of 3 takes half as long again.
        "mp3": {
            None: Encoder(
                "mp3",
                "libmp3lame",
                kilobits=(32, 320),
                options=(("compression_level", "5"),),
                drops_padding=True,
            )
        },
        # The edit list, which says where the song ends, counts in the time scale of the movie; the
        # usual one of a millisecond would cut up to 44 frames.
        "m4a": {
            None: Encoder(
                "ipod", "aac", kilobits=(16, 512), container_options=(("movie_timescale", "{rate}"),)
            )
        },
        # FFmpeg's own Vorbis encoder, the only one in PyAV's wheels. It knows no bitrate, only a
        # quality, see ``vorbis_quality``. Of a song of less than two packets, of 16 of its blocks each,
        # it would lose the end.
        "ogg": {
            None: Encoder(
                "ogg",
                "vorbis",
                kilobits=(64, 500),
                options=(("strict", "-2"),),
                container_options=_OGG_PAGES,
                tail=64,
                cuts_end=True,
            )
        },
        "opus": {None: Encoder("opus", "libopus", "flt", kilobits=(6, 510))},
        # FFmpeg's decoder drops two blocks at the start, but its encoder delays by one only.
        "wma": {None: Encoder("asf", "wmav2", kilobits=(32, 320), lead=1, tail=1)},
    }
)

CODECS: tuple[str, ...] = tuple(ENCODERS)


@dataclass(frozen=True)
class OutputFormat:
    """How the stems of a song are written.

    ``codec`` is also the file's extension: wav, flac, mp3, m4a (AAC), ogg (Vorbis), opus or wma.
    ``bitrate`` is that of a lossy codec, in bits per second ("128000") or thousands of them
    ("128k"); lossless ones ignore it. ``bit_depth`` is "16" (the default), "24" or, for wav alone,
    "32f" (32-bit float); lossy codecs have none.

    Vorbis is written by FFmpeg's own encoder, which has variable bitrate only: the bitrate asked
    for selects the quality that gave this bitrate on a pop song, and other songs take more or
    fewer bits. On that song, at 120 kbit/s, the decoded signal differed from the original by
    14.1 dB below it (AAC at 130 kbit/s 14.1, MP3 17.3): usable, but Opus is the better choice.

    Raises:
        ConfigurationError: when the values do not go together.
    """

    codec: str = "wav"
    bitrate: str | None = DEFAULT_BITRATE
    bit_depth: str | None = None

    def __post_init__(self) -> None:
        """Refuse what no encoder can do."""
        limits = self.encoder.kilobits
        if limits and not limits[0] <= self.bits_per_second / 1000 <= limits[1]:
            raise ConfigurationError(
                f"The codec {self.codec} cannot have the bitrate {self.bitrate!r}. "
                f"It can have {limits[0]}k to {limits[1]}k."
            )

    @property
    def encoder(self) -> Encoder:
        """The encoder that does this."""
        if self.codec not in ENCODERS:
            raise ConfigurationError(f"The codec {self.codec!r} is none of {', '.join(CODECS)}.")
        depths = ENCODERS[self.codec]
        depth = "16" if self.bit_depth is None and None not in depths else self.bit_depth
        if depth not in depths:
            possible = ", ".join(name for name in depths if name) or "none at all: leave it out"
            raise ConfigurationError(
                f"The codec {self.codec} cannot have the bit depth {self.bit_depth!r}, but {possible}."
            )
        return depths[depth]

    @property
    def bits_per_second(self) -> int:
        """The bitrate as a number."""
        text = DEFAULT_BITRATE if self.bitrate is None else self.bitrate
        match = _BITRATE.fullmatch(text.strip())
        if match is None:
            raise ConfigurationError(f"The bitrate {text!r} is not of the form 128k or 128000.")
        return round(float(match["number"]) * (1000 if match["unit"] else 1))


# Bits per second at 44.1 kHz that FFmpeg's Vorbis encoder took for a pop song at each quality. It
# overflows from quality 118 on.
_VORBIS_QUALITIES = (1, 2, 3, 4, 5, 7, 8, 9, 11, 17, 23, 35, 47, 59)
_VORBIS_KILOBITS = (73, 120, 154, 182, 206, 245, 261, 276, 301, 357, 396, 451, 491, 522)


def vorbis_quality(bits_per_second: int) -> int:
    """The ``global_quality`` of FFmpeg's Vorbis encoder that comes nearest to a bitrate."""
    return round(float(np.interp(bits_per_second / 1000, _VORBIS_KILOBITS, _VORBIS_QUALITIES)))
