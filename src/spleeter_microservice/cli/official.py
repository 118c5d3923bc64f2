"""Flags of official Spleeter that have no counterpart here, or an older spelling."""

from __future__ import annotations

import argparse
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spleeter_microservice.audio.output_format import OutputFormat
from spleeter_microservice.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spleeter_microservice.compat.audio.adapter import AudioAdapter
    from spleeter_microservice.separation.options import SeparationOptions
    from spleeter_microservice.separation.result import SeparatedSong
    from spleeter_microservice.separation.separator import StemSeparator

_OWN_ADAPTER = "spleeter.audio.ffmpeg.FFMPEGProcessAudioAdapter"


def add_official_flags(parser: argparse.ArgumentParser, adapter_help: str = "") -> None:
    """Add the flags that official Spleeter's commands share."""
    add = parser.add_argument
    adapter_help = adapter_help or "accepted for official Spleeter's default; others are for separate alone"
    add("-a", "--adapter", metavar="CLASS", default=_OWN_ADAPTER, help=adapter_help)
    backend_help = "deprecated and ignored: spectrograms are computed in one way"
    backends = ("auto", "tensorflow", "librosa")
    add("-B", "--stft-backend", "--stft_backend", dest="stft_backend", choices=backends, help=backend_help)
    add("--verbose", action="store_true", help="print on standard error what the program does")


def read_official_flags(arguments: argparse.Namespace) -> AudioAdapter | None:
    """Log to standard error with --verbose, and print what to write instead of deprecated flags.

    Returns:
        The audio adapter, or None for the program's own.

    Raises:
        ConfigurationError: if the adapter cannot be used.
    """
    if arguments.verbose:
        logging.basicConfig(level=logging.INFO, format="%(levelname)s:%(name)s:%(message)s")
    if arguments.stft_backend:
        print("Note: -B is deprecated and has no effect; leave it out.", file=sys.stderr)
    if arguments.adapter == _OWN_ADAPTER:
        return None
    from spleeter_microservice.compat.audio.adapter import AudioAdapter

    adapter = AudioAdapter.get(arguments.adapter)
    return None if type(adapter) is type(AudioAdapter.default()) else adapter


def refuse_adapter(arguments: argparse.Namespace) -> None:
    """Apply the flags of a command that reads and writes files itself.

    Raises:
        ConfigurationError: if an audio adapter is named.
    """
    if read_official_flags(arguments):
        raise ConfigurationError(
            f"This command cannot use the audio adapter {arguments.adapter}. Leave -a out; separate has it."
        )


def separate_with_adapter(
    adapter: AudioAdapter,
    separator: StemSeparator,
    source: Path,
    paths: Mapping[str, Path],
    options: SeparationOptions,
    **callbacks: Any,
) -> SeparatedSong:
    """Separate a song that an adapter reads into stems that it writes; see ``separate_song``.

    Between the adapter and this program, the waveforms are in temporary files, whose paths the result has.
    """
    from tempfile import TemporaryDirectory

    from spleeter_microservice.audio.writer import AudioWriter
    from spleeter_microservice.compat.audio import Codec
    from spleeter_microservice.compat.audio.adapter import AudioAdapter
    from spleeter_microservice.library import as_stereo_waveform
    from spleeter_microservice.separation.song import separate_song

    rate = separator.sample_rate
    with TemporaryDirectory() as name:
        mix, files = Path(name, "mix.wav"), {stem: Path(name, f"{stem}.wav") for stem in paths}
        waveform, _ = adapter.load(
            str(source), offset=options.offset, duration=options.duration, sample_rate=rate
        )
        lossless = replace(options, codec="wav", bit_depth="32f", offset=0.0, duration=None)
        with AudioWriter(mix, OutputFormat(bit_depth="32f"), rate) as writer:
            writer.write(as_stereo_waveform(waveform))
            writer.commit()
        song = separate_song(separator, mix, files, lossless, **callbacks)
        for stem, path in paths.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            waveform, _ = AudioAdapter.default().load(files[stem])
            adapter.save(str(path), waveform, rate, Codec(options.codec), options.bitrate)
    return song
