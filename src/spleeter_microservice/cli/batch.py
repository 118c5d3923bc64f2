"""The songs of one call, two of which are separated at a time."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from spleeter_microservice.cli.buckets import in_bucket, nearby
from spleeter_microservice.cli.official import separate_with_adapter
from spleeter_microservice.cli.plan import Song, open_song
from spleeter_microservice.cli.progress import Bars
from spleeter_microservice.cli.record import Record
from spleeter_microservice.cli.report import describe_error, succeeded
from spleeter_microservice.cli.song_files import is_companion
from spleeter_microservice.errors import SpleeterError
from spleeter_microservice.files import remove_abandoned
from spleeter_microservice.models.manifest import hash_file
from spleeter_microservice.processes.interruption import interruptible

if TYPE_CHECKING:
    from spleeter_microservice.compat.audio.adapter import AudioAdapter
    from spleeter_microservice.models.directory import InstalledModel
    from spleeter_microservice.separation.options import SeparationOptions
    from spleeter_microservice.separation.result import SeparatedSong, Stem
    from spleeter_microservice.separation.separator import StemSeparator

_logger = logging.getLogger(__name__)

_AT_ONCE = 2  # while one song begins or ends, another one uses the cores


@dataclass(frozen=True)
class LoadedModel:
    """A model that songs are separated with, and who reads and writes them."""

    model: InstalledModel
    separator: StemSeparator
    adapter: AudioAdapter | None


@dataclass(frozen=True)
class Outcome:
    """The result of one song.

    Attributes:
        entry: description for ``--json``, ``--report`` and ``--json-lines``.
        text: what to print instead of these.
        notes: what to print on standard error.
        status: exit status of the error, if it failed.
    """

    entry: Mapping[str, Any]
    text: str = ""
    notes: Sequence[str] = ()
    status: int = 0


@dataclass
class Batch:
    """The songs of one call, and their results.

    Attributes:
        songs: the songs.
        options: what the caller chose.
        made_from: what decides the contents of the stems, apart from the songs, for the record.
        loaded: the model; None for a dry run.
        skip_existing: whether to skip songs that are done.
        quiet: whether standard output is for something other than text.
        write_line: called with the description of each song as soon as it is done.
        outcomes: the results, by the position of the song.
    """

    songs: Sequence[Song]
    options: SeparationOptions
    made_from: Mapping[str, Any]
    loaded: LoadedModel | None
    skip_existing: bool
    quiet: bool
    write_line: Callable[[Mapping[str, Any]], None]
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    @property
    def entries(self) -> list[Mapping[str, Any]]:
        """Descriptions of the songs, in order."""
        return [self.outcomes[position].entry for position in range(len(self.songs))]

    @property
    def statuses(self) -> list[int]:
        """Exit statuses of the songs that failed."""
        return [outcome.status for _, outcome in sorted(self.outcomes.items()) if outcome.status]

    def run(self) -> None:
        """Separate the songs; if one fails, the others are separated nevertheless.

        Raises:
            KeyboardInterrupt, SystemExit: after SIGINT or SIGTERM.
        """
        if self.loaded:
            for folder in {path.parent for song in self.songs for path in song.paths.values()}:
                remove_abandoned(folder)
        # A signal between two lines of code could leak a file that was created but not yet registered.
        with interruptible() as check, Bars(self.songs) as bars:
            for position, outcome in self._outcomes(partial(self._attempt, bars, check)):
                self.outcomes[position] = outcome
                bars.count(self.songs[position], separated=outcome.entry["state"] == "succeeded")
                with bars.hidden():
                    if outcome.text and not self.quiet:
                        print(outcome.text)
                    for note in outcome.notes:
                        print(note, file=sys.stderr)
                self.write_line(outcome.entry)
            check()

    def _outcomes(self, attempt: Callable[[Song], Outcome]) -> Iterator[tuple[int, Outcome]]:
        """Yield the results with the positions of their songs as they come."""
        if len(self.songs) == 1:
            yield 0, attempt(self.songs[0])
            return
        failure: BaseException | None = None
        # An adapter of the caller's own need not be able to work in two threads.
        pool = ThreadPoolExecutor(1 if self.loaded and self.loaded.adapter else _AT_ONCE)
        try:
            positions = {pool.submit(attempt, song): position for position, song in enumerate(self.songs)}
            for future in as_completed(positions) if self.loaded else positions:
                # After a signal, what is not done fails at its next check.
                if error := future.exception():
                    failure = failure or error
                else:
                    yield positions[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)
        if failure:
            raise failure

    def _attempt(self, bars: Bars, check: Callable[[], None], song: Song) -> Outcome:
        check()
        try:
            record = self._record(song)
            reason = record.missing() if record and self.skip_existing else ""
            if reason is None:
                return Outcome(_listed(song, "existing"), f"{song.source}: already separated")
            if self.loaded is None:
                open_song(song, self.options)
                paths = "".join(f"\n    {path}" for path in song.paths.values())
                why = f" ({reason})" if reason else ""
                return Outcome(
                    {**_listed(song, "planned"), "reason": reason or None},
                    f"{song.source}: to be separated{why}{paths}",
                )
            return self._separate(song, self.loaded, record, bars, check)
        except SpleeterError as raised:
            # What the caller piped in has a name of its own.
            error = type(raised)(str(raised).replace(str(song.file), str(song.source)))
            skipped = len(self.songs) > 1 and is_companion(song.source, error)
            state = "skipped" if skipped else "failed"
            entry = {"source": str(song.source), "state": state, "error": describe_error(error)}
            if skipped:
                return Outcome(entry, notes=[f"Skipped: {song.source} is not a song."])
            return Outcome(entry, notes=[f"Error: {error}"], status=error.exit_status)

    def _separate(
        self,
        song: Song,
        loaded: LoadedModel,
        record: Record | None,
        bars: Bars,
        check: Callable[[], None],
    ) -> Outcome:
        from spleeter_microservice.separation.song import separate_song

        separate = partial(separate_with_adapter, loaded.adapter) if loaded.adapter else separate_song
        if record:
            record.remove()
        with nearby(song, self.options.codec, check) as local, bars.song(song) as progress:
            result = separate(
                loaded.separator, local.file, local.paths, self.options, progress=progress, check=check
            )
        if record:
            record.add()
        for stage, seconds in result.stages.items():
            _logger.info("%s: %.2f s of processor time for %s", song.source, seconds, stage)
        source = str(song.source)
        result = replace(result, stems=_named(result.stems, song), mixes=_named(result.mixes, song))
        entry = {**succeeded(result, loaded.model, asdict(self.options)), "source": source}
        warnings = [f"Warning: {source}, at {w.position:.2f} s: {w.message}" for w in result.warnings]
        anomalies = [f"Warning: {source}: {anomaly}." for anomaly in result.anomalies]
        return Outcome(entry, _text(song, result), [*warnings, *anomalies])

    def _record(self, song: Song) -> Record | None:
        """Return the record of a song; None for one that is alone and has none.

        It has the file's hash from before the separation: a file that changes meanwhile counts as changed.
        """
        record = Record({}, tuple(song.paths.values()))
        if (
            not song.paths
            or in_bucket(song)
            or not (self.skip_existing or len(self.songs) > 1 or record.exists())
        ):
            return None
        try:
            # A pipe could be read only once.
            sha256 = hash_file(song.file).sha256 if song.file.is_file() else None
        except OSError:  # which reading it as a song will report
            return None
        return Record({**self.made_from, "input": sha256}, record.paths) if sha256 else None


def _named(files: Mapping[str, Stem], song: Song) -> dict[str, Stem]:
    """Return files with the paths that the caller knows."""
    return {name: replace(file, path=song.paths.get(name, file.path)) for name, file in files.items()}


def _listed(song: Song, state: str) -> dict[str, Any]:
    stems = {name: {"path": str(path)} for name, path in song.paths.items()}
    return {"source": str(song.source), "state": state, "stems": stems}


def _text(song: Song, result: SeparatedSong) -> str:
    lines = []
    for stem in result.outputs.values():
        level = "silent" if stem.measurements.level is None else f"{stem.measurements.level:.1f} dBFS"
        changed = f" ({stem.gain:+.1f} dB)" if stem.gain else ""
        clipped = f", {stem.clipped_samples} samples clipped" if stem.clipped_samples else ""
        quality = stem.measurements.estimated_quality
        estimate = f", estimated quality: {quality}" if quality else ""
        lines.append(f"{stem.path}  {level}{changed}{clipped}{estimate}")
    lines.append(
        f"{song.source}: {result.duration:.1f} s of audio in {result.elapsed:.1f} s, "
        f"{result.duration / result.elapsed:.1f} times faster than real time"
    )
    return "\n".join(lines)
