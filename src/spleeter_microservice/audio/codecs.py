"""The codecs that stems can be written in; pure data, so that the API loads neither NumPy nor PyAV for it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spleeter_microservice.errors import ConfigurationError

DEFAULT_BITRATE = "128k"

_BITRATE = re.compile(r"(?P<number>\d{1,9}(\.\d{1,3})?) ?(?P<unit>k?)(bps|bit/s)?", re.IGNORECASE)
_Options = tuple[tuple[str, str], ...]
_LOW_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)


@dataclass(frozen=True)
class Encoder:
    """One of FFmpeg's encoders, and what it needs so that its output decodes to the length of its input.

    Attributes:
        muxer: FFmpeg's name of the container format.
        name: FFmpeg's name of the encoder.
        sample_format: FFmpeg's name of the sample format that the encoder takes.
        bits: bits of an integer sample; None if the encoder takes floats.
        options: options of the encoder.
        container_options: options of the muxer; {rate} stands for the sample rate in Hz.
        lead, tail: blocks of silence put before and after the song, each as long as the encoder takes
            at once, for codecs whose decoders throw that much away.
        cuts_end: whether the container can store where the song ends, but the encoder does not do so.
        hides_start: whether the container can hide silence before the song. Where many decoders play
            the last block to its end, this silence puts the song's end there.
        drops_padding: whether a last packet of nothing but padding must be dropped, because the header
            would not count all of it.
        clamps: whether samples beyond full scale must be clamped.
        largest: size of the largest file that the container supports, in bytes; None for no limit.
    """

    muxer: str
    name: str
    sample_format: str = "fltp"
    bits: int | None = None
    options: _Options = ()
    container_options: _Options = ()
    lead: int = 0
    tail: int = 0
    cuts_end: bool = False
    hides_start: bool = False
    drops_padding: bool = False
    clamps: bool = True
    largest: int | None = None


@dataclass(frozen=True)
class Codec:
    """A codec, with everything that the service and FFmpeg must know about it.

    Attributes:
        name: the name that callers choose it by.
        title: the name that people know it by.
        media_type: media type of its files.
        encoders: encoders by bit depth; lossy codecs have a single one, under None.
        kilobits: lowest and highest bitrate in thousands of bits per second; None for lossless codecs.
        steps: the only bitrates, in thousands of bits per second; empty if all in the range are possible.
        extension: the extension of its files, by default the name.
        rates: sample rates in Hz, in ascending order.
        has_mono: whether a file may have a single channel.
        default_bitrate: bitrate of a lossy codec if the caller does not choose one.
        tracks: names of the stems that are tracks of a single file, behind the mix; empty if each stem has
            a file.
    """

    name: str
    title: str
    media_type: str
    encoders: Mapping[str | None, Encoder]
    kilobits: tuple[int, int] | None = None
    steps: tuple[int, ...] = ()
    extension: str = ""
    rates: Sequence[int] = range(1000, 384_001)
    has_mono: bool = True
    default_bitrate: str = DEFAULT_BITRATE
    tracks: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Use the name as the extension by default."""
        object.__setattr__(self, "extension", self.extension or self.name)

    def nearest_rate(self, sample_rate: int) -> int:
        """Return the sample rate if the codec has it, otherwise the next higher one that it has."""
        return next((rate for rate in self.rates if rate >= sample_rate), self.rates[-1])

    @property
    def possible_rates(self) -> str:
        """Sample rates in Hz, in words."""
        if isinstance(self.rates, range):
            return f"{self.rates[0]} to {self.rates[-1]}"
        return ", ".join(map(str, self.rates))

    def encoder(self, bit_depth: str | None) -> Encoder:
        """Return the encoder of a bit depth; None is 16 bits, or the only choice of a lossy codec.

        Raises:
            ConfigurationError: if the codec does not have this bit depth.
        """
        depth = "16" if bit_depth is None and None not in self.encoders else bit_depth
        if depth not in self.encoders:
            possible = " or ".join(name for name in self.encoders if name)
            raise refused(
                "bit_depth",
                f"The codec {self.name} cannot have the bit depth {bit_depth!r}. "
                + (f"Choose {possible}." if possible else "Leave the bit depth out."),
            )
        return self.encoders[depth]

    def bits_per_second(self, bitrate: str | None) -> int | None:
        """Return a bitrate as a number, the nearest that is possible; None for a lossless codec.

        Args:
            bitrate: bits per second ("128000"), or thousands of them ("128k", "128 kbps"); None is the
                default.

        Raises:
            ConfigurationError: if the text is not a bitrate, or not one that this codec can have.
        """
        text = self.default_bitrate if bitrate is None else bitrate
        bits = parse_bitrate(text)
        if self.kilobits is None:
            return None
        low, high = self.kilobits
        if not low * 1000 <= bits <= high * 1000:
            raise refused(
                "bitrate",
                f"The codec {self.name} cannot have the bitrate {text!r}. It can have {low}k to {high}k.",
            )
        return min((step * 1000 for step in self.steps), key=lambda step: abs(step - bits), default=bits)


def parse_bitrate(text: str) -> int:
    """Return the bits per second of a text like 128k or 128000.

    Raises:
        ConfigurationError: if it is not such a text.
    """
    match = _BITRATE.fullmatch(text.strip())
    bits = round(float(match["number"]) * (1000 if match["unit"] else 1)) if match else 0
    if not bits:
        raise refused("bitrate", f"Invalid bitrate {text!r}: write it like 128k or 128000.")
    return bits


def refused(option: str, reason: str) -> ConfigurationError:
    """Return the error for an option that is impossible or does not go with another."""
    error = ConfigurationError(reason)
    error.fields = {option: reason}
    return error


# The muxer writes the 64-bit header of RF64 only for files larger than 4 GiB.
_WAV = (("rf64", "auto"),)
# Pages of a quarter of a second, as other programs write: FFmpeg misreads the end of a song that is
# all in one page, and a damaged page loses less.
_OGG_PAGES = (("page_duration", "250000"),)
# The edit list, which stores where the song begins and ends, counts in the time scale of the movie;
# the usual scale of a millisecond would cut up to 44 frames.
_MP4 = (("movie_timescale", "{rate}"),)
_AAC = Encoder("ipod", "aac", container_options=_MP4, hides_start=True)
_ALAC: Mapping[str | None, Encoder] = {
    "16": Encoder("ipod", "alac", "s16p", bits=16, container_options=_MP4),
    "24": Encoder("ipod", "alac", "s32p", bits=24, container_options=_MP4),
}
_AIFF_LIMIT = 1 << 32

CODECS: Mapping[str, Codec] = {
    codec.name: codec
    for codec in (
        Codec(
            "wav",
            "WAV",
            "audio/wav",
            {
                "16": Encoder("wav", "pcm_s16le", "s16", bits=16, container_options=_WAV),
                "24": Encoder("wav", "pcm_s24le", "s32", bits=24, container_options=_WAV),
                "32f": Encoder("wav", "pcm_f32le", "flt", container_options=_WAV, clamps=False),
            },
        ),
        Codec(
            "flac",
            "FLAC",
            "audio/flac",
            {
                "16": Encoder("flac", "flac", "s16", bits=16),
                "24": Encoder("flac", "flac", "s32", bits=24),
            },
        ),
        Codec(
            "aiff",
            "AIFF",
            "audio/aiff",
            {
                "16": Encoder("aiff", "pcm_s16be", "s16", bits=16, largest=_AIFF_LIMIT),
                "24": Encoder("aiff", "pcm_s24be", "s32", bits=24, largest=_AIFF_LIMIT),
                "32f": Encoder("aiff", "pcm_f32be", "flt", largest=_AIFF_LIMIT, clamps=False),
            },
        ),
        Codec(
            "alac",
            "ALAC",
            "audio/mp4",
            _ALAC,
            extension="m4a",
        ),
        # LAME's quality 5: in PyAV's wheels, FFmpeg's default of 3 takes half as long again.
        Codec(
            "mp3",
            "MP3",
            "audio/mpeg",
            {None: Encoder("mp3", "libmp3lame", options=(("compression_level", "5"),), drops_padding=True)},
            kilobits=(32, 320),
            steps=(32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
            rates=_LOW_RATES,
        ),
        # FFmpeg ignores the end of the edit list.
        Codec(
            "m4a",
            "AAC",
            "audio/mp4",
            {None: _AAC},
            kilobits=(16, 512),
            rates=(7350, *_LOW_RATES, 64000, 88200, 96000),
        ),
        # The specification of Native Instruments requires this order of the tracks, and one of these rates.
        Codec(
            "stem.mp4",
            "Stems of Native Instruments, in AAC or, with a bit depth, ALAC",
            "audio/mp4",
            {None: _AAC, **_ALAC},
            kilobits=(16, 512),
            rates=(44100, 48000),
            has_mono=False,
            default_bitrate="256k",
            tracks=("drums", "bass", "other", "vocals"),
        ),
        # FFmpeg's own Vorbis encoder, the only one in PyAV's wheels. It has no bitrate, only a quality
        # (``encoder.vorbis_quality``): the bitrate selects the quality that gave it on a pop song, and
        # other songs take more or fewer bits. On that song, at 120 kbit/s, the difference between decoded
        # signal and original was 14.1 dB below the original (AAC at 130 kbit/s 14.1, MP3 17.3): usable, but
        # Opus is the better choice. It would lose the end of a song shorter than two packets of 16 blocks.
        Codec(
            "ogg",
            "Vorbis",
            "audio/ogg",
            {
                None: Encoder(
                    "ogg",
                    "vorbis",
                    options=(("strict", "-2"),),
                    container_options=_OGG_PAGES,
                    tail=64,
                    cuts_end=True,
                )
            },
            kilobits=(64, 500),
            rates=range(8000, 48_001),
            has_mono=False,
        ),
        # The encoder takes lower rates too, but every decoder returns 48 kHz.
        Codec(
            "opus",
            "Opus",
            "audio/ogg",
            {None: Encoder("opus", "libopus", "flt")},
            kilobits=(6, 510),
            rates=(48000,),
        ),
        # FFmpeg's decoder drops two blocks at the start, but its encoder delays by only one.
        Codec(
            "wma",
            "WMA",
            "audio/x-ms-wma",
            {None: Encoder("asf", "wmav2", lead=1, tail=1)},
            kilobits=(32, 320),
            rates=range(8000, 48_001),
        ),
    )
}


FILMS: Mapping[str, Codec] = {
    film.name: film
    for film in (
        Codec(
            "mp4",
            "MP4",
            "video/mp4",
            {None: Encoder("mp4", "aac", container_options=_MP4)},
            kilobits=CODECS["m4a"].kilobits,
            rates=CODECS["m4a"].rates,
        ),
        # Many players of Matroska ignore how much of AAC's first blocks must be skipped.
        Codec(
            "mkv",
            "Matroska",
            "video/matroska",
            {"16": Encoder("matroska", "flac", "s16", bits=16)},
        ),
    )
}
"""Containers of films with new sound, by name."""
FILM_BITRATE = "256k"
