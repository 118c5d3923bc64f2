"""Separation of one audio file into one file per stem and mix."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext, suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np

from spleeter_microservice.arrays import Waveform
from spleeter_microservice.audio.codecs import FILM_BITRATE
from spleeter_microservice.audio.decoder import Check
from spleeter_microservice.audio.film import Film, Pictures
from spleeter_microservice.audio.output_format import FilmFormat, OutputFormat
from spleeter_microservice.audio.reader import AudioReader
from spleeter_microservice.audio.resampling import Resampler
from spleeter_microservice.audio.tagging import why_no_cover
from spleeter_microservice.audio.tags import Tags
from spleeter_microservice.audio.warnings import AudioWarning
from spleeter_microservice.audio.writer import AudioWriter
from spleeter_microservice.errors import InputError
from spleeter_microservice.separation.level import Leveller
from spleeter_microservice.separation.measurements import QUIET
from spleeter_microservice.separation.mixes import ALL_STEMS, Recipe
from spleeter_microservice.separation.options import SeparationOptions
from spleeter_microservice.separation.result import SeparatedSong, Stem
from spleeter_microservice.separation.separator import NOTHING_AROUND, StemBlock, StemSeparator, Surroundings
from spleeter_microservice.separation.stage_timer import StageTimer

_BLOCK = 1 << 16
_AROUND = 6.0
"""Seconds that best quality reads before and after the selected part: half a segment of the networks."""

Progress = Callable[[int, int | None], None]
"""Called with the number of samples done, and the number of all samples or None if that is unknown."""

Watch = Callable[[Mapping[str, Waveform]], None]
"""Called with the next samples of every stem and mix, each of shape (samples, 2)."""


def separate_song(
    separator: StemSeparator,
    source: Path,
    paths: Mapping[str, Path],
    options: SeparationOptions,
    *,
    progress: Progress | None = None,
    watch: Watch | None = None,
    check: Check = lambda: None,
) -> SeparatedSong:
    """Separate a file; all stems appear under their names together, or none does.

    Args:
        separator: the loaded model.
        source: the input file.
        paths: path of each stem and mix (see ``stem_paths``); those left out are not written.
        options: what the caller chose.
        progress: called after each block.
        watch: called with everything that is written.
        check: called often while the song is read, in any thread; the separation ends with the error that
            it raises.

    Raises:
        AudioError: if the input cannot be read or the stems cannot be written.
        ConfigurationError: if the options do not go together.
    """
    _ = options.output_format  # which refuses what does not go together before any file is made
    start = time.perf_counter()
    recipes, tracks = options.recipes(separator.stems), options.track_recipes(separator.stems)
    meter, stages = separator.meter(options), StageTimer()
    samples, first_block = 0, 0.0
    changes_level = options.level != "as-is" and paths
    with (
        _Input(source, separator.sample_rate, options, check) as song,
        Stems(
            paths,
            song.output_format,
            separator.sample_rate,
            song.expected_samples,
            song.tags,
            song.films,
        ) as stems,
        Leveller(options, paths, separator.sample_rate, song.output_format.channels)
        if changes_level
        else nullcontext() as leveller,
    ):

        def write(waveforms: Mapping[str, Waveform]) -> None:
            stems.write(waveforms, stages)
            if watch:
                watch({name: waveform[:, :2] for name, waveform in waveforms.items()})

        around = song.surroundings() if options.quality == "best" else NOTHING_AROUND
        with closing(separator.separate_blocks(song.blocks, options, stages, around)) as blocks:
            for block in blocks:
                first_block = first_block or time.perf_counter() - start
                waveforms = with_mixes(zip(separator.stems, block.stems, strict=True), recipes)
                with stages.measure("measure"):
                    mixes = [waveforms[name].T for name in recipes]
                    meter.add(block.mix, block.stems, block.covered, block.expected, mixes)
                if song.output_format.channels == 1:
                    waveforms = {name: _centred(stem) for name, stem in waveforms.items()}
                if tracks:
                    waveforms = {ALL_STEMS: _side_by_side(block, separator.stems, tracks)}
                if leveller:
                    leveller.hold(block.mix.T, waveforms)
                else:
                    write(waveforms)
                samples += block.mix.shape[1]
                if progress:
                    progress(samples, round(song.expected_samples) or None)
                del block, waveforms, mixes  # before the next ones are made
        measurements = meter.result()
        found = zip((*separator.stems, *recipes), (*measurements.stems, *meter.mixes()), strict=True)
        measured = {name: values for name, values in found if name in paths}
        if leveller:
            for waveforms in leveller.outputs():
                check()
                write(waveforms)
            measured = leveller.measured(measured)
        rate = song.output_format.sample_rate or separator.sample_rate
        samples = song.frames or round(samples * rate / separator.sample_rate)
        stems.publish(song.frames)
    gains = leveller.gains if leveller else dict.fromkeys(paths, 0.0)
    outputs = {
        name: Stem(paths[name], stems.clipped_samples(name), values, gains[name])
        for name, values in measured.items()
    }
    return SeparatedSong(
        source=source,
        stems={name: output for name, output in outputs.items() if name not in options.mix_names},
        mixes={name: output for name, output in outputs.items() if name in options.mix_names},
        measurements=measurements,
        duration=samples / rate,
        samples=samples,
        elapsed=time.perf_counter() - start,
        first_block=first_block,
        stages=dict(stages.seconds),
        provider=separator.provider,
        track=song.reader.track,
        start_time=song.reader.start_time,
        warnings=[
            *song.reader.warnings,
            *([] if separator.raises_quiet_songs(options) else _quiet(measurements.level)),
            *(_coverless(song.tags, song.output_format) if paths and song.tags else []),
        ],
    )


def with_mixes(stems: Iterable[tuple[str, Waveform]], recipes: Mapping[str, Recipe]) -> dict[str, Waveform]:
    """Return the waveforms of stems and of their mixes, each of shape (samples, 2).

    Args:
        stems: names and waveforms of shape (2, samples) of all stems.
        recipes: how to make each mix.
    """
    waveforms = {name: stem.T for name, stem in stems}
    for mix, recipe in recipes.items():
        parts = (
            waveforms[name] if factor == 1 else waveforms[name] * factor for name, factor in recipe.items()
        )
        waveforms[mix] = sum(parts, next(parts))
    return waveforms


def _side_by_side(block: StemBlock, stems: Sequence[str], tracks: Mapping[str, Recipe]) -> Waveform:
    """Return the tracks of a file of all stems, the mix first, in an array of shape (samples, 2 × tracks)."""
    waveforms = with_mixes(zip(stems, block.stems, strict=True), tracks)
    return np.concatenate([block.mix.T, *(waveforms[name] for name in tracks)], axis=1)


def _quiet(level: float | None) -> list[AudioWarning]:
    if level is None or level >= QUIET:
        return []
    text = f"The song is quiet ({level:.1f} dB relative to full scale), so it is separated worse."
    return [AudioWarning("quiet", f"{text} Choose best quality, or raise its level.", 0.0)]


def _coverless(tags: Tags, output_format: OutputFormat) -> list[AudioWarning]:
    reason = why_no_cover(tags, output_format.encoder.muxer)
    text = f"The stems have no cover, because the song's cannot be copied: {reason}."
    return [AudioWarning("no-cover", text, 0.0)] if reason else []


def _centred(waveform: Waveform) -> Waveform:
    """Return both channels as their mean, exactly alike."""
    return np.repeat(waveform.mean(axis=1, keepdims=True), 2, axis=1)


class _Input(AbstractContextManager["_Input"]):
    """The input, opened again for each pass over it.

    Attributes:
        reader: its latest pass.
        tags: the tags that stems may have, or None.
        output_format: format of the stems.
        films: the films to write, by name.
        expected_samples: estimated number of all samples for the model, or 0 if that is unknown.
    """

    def __init__(self, path: Path, sample_rate: int, options: SeparationOptions, check: Check) -> None:
        self._check = check
        self._options = options
        # Selected at its own rate, a part of a song begins and ends exactly at the song's samples.
        self._sample_rate = sample_rate
        rate = None if options.sample_rate == "source" else sample_rate
        self._read = partial(AudioReader, path, sample_rate=rate, check=check, **options.reading)
        self._open = partial(self._read, offset=options.offset, duration=options.duration)
        self.reader = self._open(tagged=options.tags)
        self.tags = self.reader.tags
        self._used = False
        try:
            self.output_format = options.output_format_of(
                self.reader.source_sample_rate, self.reader.source_channels
            )
        except BaseException:
            self.reader.close()
            raise
        film = FilmFormat(self.reader.film or "mp4", FILM_BITRATE, channels=self.output_format.channels)
        self.films = {name: Film(path, self.reader.late, film) for name in options.video}
        self.expected_samples = (self.reader.expected_frames or 0) * sample_rate / self.reader.sample_rate

    def blocks(self) -> Iterator[Waveform]:
        if self._used:
            self.reader.close()
            self.reader = self._open()
        self._used = True
        return self._resampled(self.reader)

    @property
    def frames(self) -> int | None:
        """Number of frames in the latest pass if the stems must have as many, otherwise None."""
        return self.reader.frames if self._options.sample_rate == "source" else None

    def surroundings(self) -> Surroundings:
        """Read what precedes and what follows the selected part of the file."""
        offset, duration = self._options.offset, self._options.duration
        begin = max(0.0, offset - _AROUND)
        before = self._part(begin, offset - begin) if offset else NOTHING_AROUND[0]
        return before, self._part(offset + duration, _AROUND) if duration else NOTHING_AROUND[1]

    def _part(self, offset: float, duration: float) -> Waveform:
        with suppress(InputError), self._read(offset=offset, duration=duration) as reader:
            return np.concatenate(list(self._resampled(reader)))
        return NOTHING_AROUND[0]  # nothing is there, or nothing that can be read

    def _resampled(self, reader: AudioReader) -> Iterator[Waveform]:
        resampler = Resampler(reader.sample_rate, self._sample_rate, 2)
        for block in reader.blocks(_BLOCK):
            self._check()
            yield from resampler.push(block)
        yield from resampler.finish(math.ceil(reader.frames * self._sample_rate / reader.sample_rate))

    def __exit__(self, *_: object) -> None:
        self.reader.close()


class Stems(AbstractContextManager["Stems"]):
    """The files of a song's stems and mixes, each written in a thread; without ``publish``, none remains."""

    def __init__(
        self,
        paths: Mapping[str, Path],
        output_format: OutputFormat,
        sample_rate: int = 44100,
        frames: float = 0,
        tags: Tags | None = None,
        films: Mapping[str, Film] = MappingProxyType({}),
    ) -> None:
        self._stack = ExitStack()
        self._paths, self._films = paths, films
        self._writers: dict[str, AudioWriter] = {}
        with self._stack:
            for name, path in paths.items():
                own = tags.of_output(name) if tags and output_format.tracks == 1 else tags
                if film := films.get(name):
                    pictures = self._stack.enter_context(closing(Pictures(film.path, film.late)))
                    writer = AudioWriter(path, film.format, sample_rate, frames, None, pictures)
                else:
                    writer = AudioWriter(path, output_format, sample_rate, frames, own)
                self._writers[name] = self._stack.enter_context(writer)
            self._threads = self._stack.enter_context(ThreadPoolExecutor(len(paths) or 1))
            self._stack = self._stack.pop_all()

    def write(self, waveforms: Mapping[str, Waveform], stages: StageTimer | None = None) -> None:
        """Append samples, of shape (samples, 2), to each stem; a file of all stems has more columns."""

        def write(name: str, writer: AudioWriter) -> None:
            with stages.measure("encode") if stages else nullcontext():
                writer.write(waveforms[name])

        list(self._threads.map(write, self._writers, self._writers.values()))

    def publish(self, frames: int | None = None) -> None:
        """Complete all files, then rename them to their paths; if one fails, none keeps its path.

        Args:
            frames: length of each file but a film, if it is not that of what was written, rounded.

        Raises:
            OutputError: if a file cannot be completed or renamed.
        """
        for name, writer in self._writers.items():
            writer.finish(None if name in self._films else frames)
        with ExitStack() as undo:
            for name, writer in self._writers.items():
                writer.commit()
                undo.callback(self._paths[name].unlink, missing_ok=True)
            undo.pop_all()

    def clipped_samples(self, name: str) -> int:
        """Return the number of samples of a stem that were clipped so far."""
        return self._writers[name].clipped_samples

    def __exit__(self, *_: object) -> None:
        self._stack.close()
