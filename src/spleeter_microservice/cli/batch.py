"""The songs of one call, separated one after another."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spleeter_microservice.cli.official import separate_with_adapter
from spleeter_microservice.cli.plan import refuse_conflict
from spleeter_microservice.cli.progress import song_progress
from spleeter_microservice.cli.report import describe_error, succeeded
from spleeter_microservice.cli.song_files import is_companion
from spleeter_microservice.errors import SpleeterError
from spleeter_microservice.files import real_path
from spleeter_microservice.processes.interruption import interruptible

if TYPE_CHECKING:
    from spleeter_microservice.compat.audio.adapter import AudioAdapter
    from spleeter_microservice.models.directory import InstalledModel
    from spleeter_microservice.separation.options import SeparationOptions
    from spleeter_microservice.separation.result import SeparatedSong
    from spleeter_microservice.separation.separator import StemSeparator

_logger = logging.getLogger(__name__)


@dataclass
class Batch:
    """The files of one call, and their results.

    Attributes:
        songs: description of each file's result, for ``--json`` and ``--report``.
        statuses: exit statuses of the files that failed.
        skipped: number of files that are not songs.
    """

    arguments: argparse.Namespace
    options: SeparationOptions
    model: InstalledModel
    separator: StemSeparator
    adapter: AudioAdapter | None
    songs: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    skipped: int = 0
    written: dict[Path, Path] = field(default_factory=dict)

    def separate(self, source: Path, paths: Mapping[str, Path], *, alone: bool) -> None:
        """Separate a song and describe the result or the error.

        Args:
            source: the file.
            paths: path of each stem.
            alone: whether the file is the only one of the call, so that it must be a song.
        """
        try:
            song = self._separate(source, paths)
        except SpleeterError as error:
            skipped = not alone and is_companion(source, error)
            state = "skipped" if skipped else "failed"
            self.songs.append({"source": str(source), "state": state, "error": describe_error(error)})
            if skipped:
                self.skipped += 1
                print(f"Skipped: {source} is not a song.", file=sys.stderr)
            else:
                self.statuses.append(error.exit_status)
                print(f"Error: {error}", file=sys.stderr)
            return
        self.songs.append(succeeded(song, self.model, asdict(self.options)))
        if not self.arguments.json:
            _print(song)
        for warning in song.warnings:
            print(f"Warning: {source}, at {warning.position:.2f} s: {warning.message}", file=sys.stderr)
        for anomaly in song.anomalies:
            print(f"Warning: {source}: {anomaly}.", file=sys.stderr)

    def _separate(self, source: Path, paths: Mapping[str, Path]) -> SeparatedSong:
        from spleeter_microservice.separation.song import separate_song

        refuse_conflict(source, paths, self.written)
        separate = partial(separate_with_adapter, self.adapter) if self.adapter else separate_song
        # A signal between two lines of code could leak a file that was created but not yet registered.
        with interruptible() as check, song_progress(source) as progress:
            song = separate(self.separator, source, paths, self.options, progress=progress, check=check)
            check()
        self.written |= {real_path(path): source for path in paths.values()}
        for stage, seconds in song.stages.items():
            _logger.info("%s: %.2f s of processor time for %s", source, seconds, stage)
        return song


def _print(song: SeparatedSong) -> None:
    for stem in song.outputs.values():
        level = "silent" if stem.measurements.level is None else f"{stem.measurements.level:.1f} dBFS"
        changed = f" ({stem.gain:+.1f} dB)" if stem.gain else ""
        clipped = f", {stem.clipped_samples} samples clipped" if stem.clipped_samples else ""
        quality = stem.measurements.estimated_quality
        estimate = f", estimated quality: {quality}" if quality else ""
        print(f"{stem.path}  {level}{changed}{clipped}{estimate}")
    print(
        f"{song.source}: {song.duration:.1f} s of audio in {song.elapsed:.1f} s, "
        f"{song.duration / song.elapsed:.1f} times faster than real time"
    )
