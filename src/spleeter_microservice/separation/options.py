"""The options of a separation, each declared in one place.

The flags of the command line, the fields of the HTTP API, the keyword arguments of the library, the
messages to the confined process and the tables in the documents are all made from these declarations.
Only the code that acts on an option has to be written beside its declaration.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from spleeter_microservice.audio.codecs import CODECS, DEFAULT_BITRATE, refused
from spleeter_microservice.audio.output_format import OutputFormat
from spleeter_microservice.errors import ConfigurationError
from spleeter_microservice.separation.declarations import declared_options, option
from spleeter_microservice.separation.mixes import (
    ALL_STEMS,
    MIX_NAME,
    Recipe,
    check_mixes,
    name_without,
    read_mixes,
    read_names,
    recipes,
    refuse_unknown,
    track_recipes,
)
from spleeter_microservice.separation.presets import PRESETS

_LOWEST_LOUDNESS = -70  # LUFS; EBU R 128 does not measure less
_SECONDS = 1e6  # far more than any song lasts, and still exact to a sample in double precision


@dataclass(frozen=True)
class SeparationOptions:
    """What a caller can choose about the separation of one song."""

    preset: str | None = option(
        None,
        "Options for a purpose; those that you choose yourself win.",
        choices=tuple(PRESETS),
    )
    codec: str = option("wav", "Format of the stems.", flags=("-c", "--codec"), choices=tuple(CODECS))
    bitrate: str | None = option(
        None,
        f"Bitrate of a lossy codec, in bits per second or, with k, in thousands of them; by default "
        f"{DEFAULT_BITRATE}, and {CODECS['stem.mp4'].default_bitrate} for stem.mp4.",
        flags=("-b", "--bitrate"),
        pattern=r"^[1-9][0-9]{0,6} ?[kK]?([bB][pP][sS]|[bB][iI][tT]/[sS])?$",
        example="192k",
    )
    bit_depth: str | None = option(
        None,
        "Bits per sample of a lossless codec, 16 by default; 32f, floating point, is for WAV and AIFF. "
        "stem.mp4 with a bit depth is lossless.",
        choices=tuple(dict.fromkeys(depth for codec in CODECS.values() for depth in codec.encoders if depth)),
        example="24",
    )
    sample_rate: str | None = option(
        None,
        "Sample rate of the stems in Hz, or source for that of the song, with exactly as many samples; by "
        "default the model's, 44100, or the next higher one that the codec has.",
        pattern=r"^(source|[1-9][0-9]{3,5})$",
        example="48000",
    )
    channels: str = option(
        "stereo", "Channels of the stems. source: a mono song has mono stems.", choices=("stereo", "source")
    )
    dither: bool = option(
        False, "Add noise before lossless stems are rounded, so that what is quieter than a step is not lost."
    )
    offset: float = option(
        0.0,
        "Seconds of the song to skip.",
        flags=("-s", "--offset"),
        minimum=0,
        maximum=_SECONDS,
        unit="seconds",
        example=30,
    )
    duration: float | None = option(
        None,
        "Seconds of the song to separate; by default everything to the end.",
        flags=("-d", "--duration"),
        above=0,
        maximum=_SECONDS,
        unit="seconds",
        example=60,
    )
    quality: str = option(
        "official",
        "How the stems are made. official: exactly as Spleeter makes them. best: closer to the true stems, "
        "in twice the time, with mwf and full bandwidth unless you choose otherwise.",
        choices=("official", "best"),
    )
    mwf: bool = option(
        False, "Refine the stems with a multichannel Wiener filter; takes twice as long.", best=True
    )
    bandwidth: str = option(
        "official",
        "How far up the stems reach. official: up to the model's limit, 11 kHz for most, as in Spleeter. "
        "full: all frequencies, so that the stems sum to the mix.",
        choices=("official", "full"),
        best="full",
    )
    damaged: str = option(
        "separate",
        "Refuse a file that is damaged or contradicts itself, instead of separating what a player would "
        "play of it, with warnings.",
        flags=("--strict",),
        choices=("separate", "refuse"),
        switch="refuse",
    )
    tags: bool = option(
        True,
        "Copy the song's title (with the stem's name), artist, album, track, date, genre, tempo, key and "
        "cover into the stems.",
        flags=("--no-tags",),
    )
    track: str | None = option(
        None,
        "Sound track to separate, by its number (from 1) or its language as the file spells it; by default "
        "the main one.",
        pattern=r"^[A-Za-z0-9-]{1,35}$",
        example="eng",
    )
    keep_delay: bool = option(
        False,
        "Begin the stems with silence if the sound begins after the pictures, so that they fit the film.",
    )

    only: tuple[str, ...] = option(
        (),
        "Stems to write, separated by commas; all by default. To write your mixes without any stem, name a "
        "mix instead.",
        pattern=MIX_NAME,
        unit="stem",
        example=["vocals"],
    )
    mixes: Mapping[str, str] = option(
        (),
        "Mix of stems to write as well, such as karaoke=accompaniment+vocals@-18dB. instrumental and "
        "acapella are mixes too: all stems but the vocals, and the vocals. Can be repeated.",
        flags=("--mix",),
        unit="name=expression",
        example={"karaoke": "instrumental+vocals@-18dB"},
    )
    without: tuple[str, ...] = option(
        (),
        "Write a mix of all stems but these, separated by commas; drums makes no_drums.",
        unit="stem",
        example=["drums"],
    )

    level: str = option(
        "as-is",
        "Level of the files: as-is, prevent-clipping (lower if a sample would exceed full scale), or the "
        "song's loudness in LUFS, such as -14. All files of a song change by the same factor, so that they "
        "still sum.",
        pattern=r"^(as-is|prevent-clipping|0|-[0-9]{1,2}([.][0-9]{1,2})?)$",
        example="-14",
    )
    level_each: bool = option(
        False, "Change the level of each file by a factor of its own, so that each has the loudness itself."
    )
    video: Mapping[str, str] = option(
        (),
        "Film to write as well: the pictures of the input with a stem or a mix as their sound, such as "
        "karaoke_film=instrumental. Can be repeated.",
        unit="name=mix",
        example={"karaoke_film": "instrumental"},
    )

    def __post_init__(self) -> None:
        """Choose what depends on the quality and was left open, and read names, mixes and whole numbers.

        Raises:
            ConfigurationError: if two mixes have the same name.
        """
        for name, read in (
            ("only", read_names),
            ("without", read_names),
            ("mixes", read_mixes),
            ("video", read_mixes),
            ("level", str),
        ):
            object.__setattr__(self, name, read(getattr(self, name)))
        for name in ("bitrate", "bit_depth", "sample_rate", "track"):
            if type(value := getattr(self, name)) is int:
                object.__setattr__(self, name, str(value))
        for each in fields(self):
            if "best" in each.metadata and getattr(self, each.name) is None:
                value = each.metadata["best" if self.quality == "best" else "default"]
                object.__setattr__(self, each.name, value)

    @property
    def output_format(self) -> OutputFormat:
        """Format of the stems' files, as far as it does not depend on the song.

        Raises:
            ConfigurationError: if codec, bitrate, bit depth, sample rate and channels do not go together.
        """
        rate = self.sample_rate if self.sample_rate != "source" else None
        if rate and not rate.isdecimal():
            raise ConfigurationError(f"Invalid sample rate {rate!r}. Write it in Hz, like 48000, or source.")
        found = OutputFormat(
            self.codec, self.bitrate, self.bit_depth, self.dither, int(rate) if rate else None
        )
        if self.channels == "source" and not CODECS[self.codec].has_mono:
            raise refused(
                "channels", f"The codec {self.codec} cannot have one channel. Choose another, or stereo."
            )
        if CODECS[self.codec].tracks and (self.only or self.mixes or self.without or self.video):
            raise refused(
                "codec",
                f"The codec {self.codec} writes the mix and all stems into one file. Leave out the choice of "
                "stems and mixes, or choose another codec.",
            )
        return found

    def output_format_of(self, sample_rate: int, channels: int) -> OutputFormat:
        """Return the format of the stems' files for a song with a sample rate in Hz and a number of channels.

        Raises:
            ConfigurationError: if the codec cannot have the song's sample rate.
        """
        found = self.output_format
        if self.sample_rate == "source":
            found = replace(found, sample_rate=sample_rate)
        return replace(found, channels=1) if self.channels == "source" and channels == 1 else found

    @property
    def reading(self) -> dict[str, Any]:
        """Arguments of ``AudioReader`` that decide what of a song is read, apart from the selection."""
        return {"track": self.track, "strict": self.damaged == "refuse", "keep_delay": self.keep_delay}

    def check(self) -> None:
        """Raise an error if a value is impossible, alone or with the others.

        Raises:
            ConfigurationError: naming the option, its value and what it can be.
        """
        for declared in declared_options(type(self)):
            declared.check(getattr(self, declared.name))
        check_mixes(self.mixes, self.without, self.video)
        self.check_together()

    def check_together(self) -> None:
        """Raise an error if options do not go together, whatever the song and the model.

        Raises:
            ConfigurationError: whose ``fields`` has the name of the option.
        """
        self.check_level()
        _ = self.output_format
        if self.video and (self.offset or self.duration):
            reason = "A film keeps all of its pictures. Leave out the offset and the duration, or the film."
            raise refused("video", reason)

    @property
    def loudness(self) -> float | None:
        """Loudness that is wanted in LUFS, or None."""
        return None if self.level in ("as-is", "prevent-clipping") else float(self.level)

    def check_level(self) -> None:
        """Raise an error if a level is impossible.

        Raises:
            ConfigurationError: if it is not a loudness that a song can have, or if ``level_each`` has no
                level to apply.
        """
        try:
            possible = self.loudness is None or _LOWEST_LOUDNESS <= self.loudness <= 0
        except ValueError:
            possible = False
        if not possible:
            raise refused(
                "level",
                f"Invalid level {self.level!r}. Choose as-is, prevent-clipping or a loudness of "
                f"{_LOWEST_LOUDNESS} to 0 LUFS, such as -14.",
            )
        if self.level_each and self.level == "as-is":
            raise refused(
                "level_each",
                "level_each changes nothing while the level is as-is. Choose prevent-clipping or a loudness.",
            )

    @property
    def mix_names(self) -> tuple[str, ...]:
        """Names of the mixes and films, in the order of ``recipes``."""
        return (*self.mixes, *([name_without(self.without)] if self.without else []), *self.video)

    def recipes(self, stems: Collection[str]) -> dict[str, Recipe]:
        """Return the recipe of each mix and film of a model's stems; see ``mixes.recipes``.

        A file of all stems is measured and played like their sum.
        """
        if self.track_recipes(stems):
            return {ALL_STEMS: dict.fromkeys(stems, 1.0)}
        return recipes(self.mixes, self.without, stems, self.video)

    def track_recipes(self, stems: Collection[str]) -> dict[str, Recipe]:
        """Return the recipes of the tracks behind the mix, if a file has all stems; else there are none."""
        tracks = CODECS[self.codec].tracks
        return track_recipes(tracks, stems) if tracks else {}

    def outputs(self, stems: Collection[str]) -> tuple[str, ...]:
        """Return the names of the files to write: the chosen ones of a model's stems, then the mixes.

        Raises:
            ConfigurationError: if the model does not have a stem that is needed.
        """
        mixes = self.recipes(stems)
        if self.track_recipes(stems):
            return (*mixes,)
        refuse_unknown((name for name in self.only if name not in mixes), stems)
        return (*(stem for stem in stems if not self.only or stem in self.only), *mixes)
