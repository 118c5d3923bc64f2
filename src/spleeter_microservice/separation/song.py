"""Separates one audio file into one file per stem."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self

from spleeter_microservice.arrays import Waveform
from spleeter_microservice.audio.codecs import OutputFormat
from spleeter_microservice.audio.reader import AudioReader
from spleeter_microservice.audio.writer import AudioWriter
from spleeter_microservice.separation.quality import Quality, StemQuality
from spleeter_microservice.separation.spleeter.pipeline import SpleeterSeparator
from spleeter_microservice.separation.stage_timer import StageTimer

_BLOCK = 1 << 16

Progress = Callable[[int, int | None], None]
"""Called with the samples done so far, and the samples that there are if that is known."""

Check = Callable[[], None]
"""Called at every block of the input, in any thread; what it raises ends the separation."""

Watch = Callable[[Mapping[str, Waveform]], None]
"""Called with the next samples of every instrument's stem, of shape (samples, 2)."""


@dataclass(frozen=True)
class Excerpt:
    """The part of a file to separate: offset and length in seconds, by default all of it."""

    offset: float = 0.0
    duration: float | None = None


@dataclass(frozen=True)
class Stem:
    """One file that was written.

    ``clipped_samples`` counts the samples beyond full scale that the format had to clip.
    """

    path: Path
    clipped_samples: int
    quality: StemQuality


@dataclass(frozen=True)
class SeparatedSong:
    """What became of one input file.

    Attributes:
        source: the input.
        stems: by instrument.
        quality: measured of the whole.
        duration: of each stem, in seconds.
        samples: of each stem, per channel.
        elapsed: wall-clock time, in seconds.
        first_block: time until the first samples of the stems were there, in seconds.
        stages: processor time by stage, in seconds.
        provider: what the networks ran on, by ONNX Runtime's name for it.
    """

    source: Path
    stems: Mapping[str, Stem]
    quality: Quality
    duration: float
    samples: int
    elapsed: float
    first_block: float
    stages: Mapping[str, float] = field(repr=False)
    provider: str

    @property
    def suspicions(self) -> list[str]:
        """Everything that speaks against the result, in words."""
        found = [
            f"{name}: {stem.quality.suspect}" for name, stem in self.stems.items() if stem.quality.suspect
        ]
        return found + ([self.quality.suspect] if self.quality.suspect else [])


def separate_song(
    pipeline: SpleeterSeparator,
    source: Path,
    paths: Mapping[str, Path],
    output_format: OutputFormat,
    excerpt: Excerpt | None = None,
    progress: Progress | None = None,
    watch: Watch | None = None,
    check: Check | None = None,
) -> SeparatedSong:
    """Separate a file; all stems appear under their names together, or none does.

    Args:
        pipeline: holds the model.
        source: the input file.
        paths: where each instrument goes (``stem_paths``); names left out are not written.
        output_format: how stems are written.
        excerpt: which part of the input to take.
        progress: called after each segment.
        watch: shown everything that is written.
        check: asked whether to go on.

    Raises:
        AudioError: when the input cannot be read or the stems cannot be written.
    """
    start = time.perf_counter()
    names = pipeline.architecture.stems
    rate = pipeline.architecture.sample_rate
    meter = pipeline.meter()
    samples, first_block = 0, 0.0
    with (
        _Input(source, rate, excerpt or Excerpt(), check) as song,
        Stems(paths, output_format, rate) as stems,
    ):
        with closing(pipeline.separate_blocks(song.blocks)) as pieces:
            for piece in pieces:
                first_block = first_block or time.perf_counter() - start
                with pipeline.stages.measure("quality"):
                    meter.add(piece.mix, piece.stems, piece.energy)
                waveforms = {name: stem.T for name, stem in zip(names, piece.stems, strict=True)}
                stems.write(waveforms, pipeline.stages)
                if watch:
                    watch(waveforms)
                samples += piece.mix.shape[1]
                if progress:
                    progress(samples, song.expected_samples)
        stems.publish()
    quality = meter.result()
    measured = dict(zip(names, quality.stems, strict=True))
    return SeparatedSong(
        source=source,
        stems={name: Stem(path, stems.clipped_samples(name), measured[name]) for name, path in paths.items()},
        quality=quality,
        duration=samples / rate,
        samples=samples,
        elapsed=time.perf_counter() - start,
        first_block=first_block,
        stages=dict(pipeline.stages.seconds),
        provider=pipeline.provider,
    )


class _Input:
    """Opens the input, anew for each pass over it."""

    def __init__(self, path: Path, sample_rate: int, excerpt: Excerpt, check: Check | None) -> None:
        self._check = check
        self._open = partial(
            AudioReader, path, sample_rate=sample_rate, offset=excerpt.offset, duration=excerpt.duration
        )
        self._reader = self._open()
        self._used = False
        self.expected_samples = self._reader.expected_frames

    def blocks(self) -> Iterator[Waveform]:
        if self._used:
            self._reader.close()
            self._reader = self._open()
        self._used = True
        return self._checked(self._reader.blocks(_BLOCK))

    def _checked(self, blocks: Iterator[Waveform]) -> Iterator[Waveform]:
        for block in blocks:
            if self._check:
                self._check()
            yield block

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()


class Stems:
    """Writes all stems of a song, each in a thread; leaving without ``publish`` leaves no file."""

    def __init__(
        self, paths: Mapping[str, Path], output_format: OutputFormat, sample_rate: int = 44100
    ) -> None:
        self._stack = ExitStack()
        self._paths = paths
        self._writers: dict[str, AudioWriter] = {}
        with self._stack:
            for name, path in paths.items():
                writer = AudioWriter(path, output_format, sample_rate)
                self._writers[name] = self._stack.enter_context(writer)
            self._threads = self._stack.enter_context(ThreadPoolExecutor(len(paths) or 1))
            self._stack = self._stack.pop_all()

    def write(self, waveforms: Mapping[str, Waveform], stages: StageTimer | None = None) -> None:
        """Append to each stem what it is given, of shape (samples, 2)."""

        def write(name: str, writer: AudioWriter) -> None:
            with stages.measure("encode") if stages else nullcontext():
                writer.write(waveforms[name])

        list(self._threads.map(write, self._writers, self._writers.values()))

    def publish(self) -> None:
        """Complete all files, then give them their names; if one refuses, none keeps its own.

        Raises:
            OutputError: when a file cannot be completed or named.
        """
        for writer in self._writers.values():
            writer.finish()
        with ExitStack() as undo:
            for name, writer in self._writers.items():
                writer.commit()
                undo.callback(self._paths[name].unlink, missing_ok=True)
            undo.pop_all()

    def clipped_samples(self, name: str) -> int:
        """How many samples of a stem were clipped so far."""
        return self._writers[name].clipped_samples

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
