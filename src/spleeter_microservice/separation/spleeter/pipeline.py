"""Separation of a song with Spleeter's U-Nets, segment by segment, the stages overlapping in time."""

from __future__ import annotations

import functools
import operator
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TypeVar

import numpy as np

from spleeter_microservice.arrays import Array, Spectrum, Waveform
from spleeter_microservice.separation.measurements import MARGIN, MWF_MARGIN, Meter
from spleeter_microservice.separation.options import SeparationOptions
from spleeter_microservice.separation.separator import (
    NOTHING_AROUND,
    BlockSource,
    ModelFiles,
    StemBlock,
    Surroundings,
)
from spleeter_microservice.separation.spleeter import listening, masks
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture
from spleeter_microservice.separation.spleeter.cascade import Cascade
from spleeter_microservice.separation.spleeter.network import OnnxNetworks
from spleeter_microservice.separation.spleeter.spectrogram import Analysis, Segment, Synthesis
from spleeter_microservice.separation.spleeter.wiener import Covariances, WienerFilter
from spleeter_microservice.separation.stage_timer import StageTimer

T = TypeVar("T")
Estimated = tuple[Segment, list[Array]]
MaskedSpectrum = tuple[Spectrum, Array | None]

_REFLECTED = 16
"""Frames that best quality reflects at the beginning and at the end of a song."""


def load(files: ModelFiles, cores: int | None = None) -> SpleeterSeparator:
    """Load a model of Deezer's kind, or a cascade that refines one; see ``separator.load_separator``."""
    architecture = UNetArchitecture.from_config(files.config)
    if files.base:
        return SpleeterSeparator(architecture, Cascade(files.directory, architecture, files.base, cores))
    return SpleeterSeparator(architecture, OnnxNetworks(files.directory, architecture, cores))


class SpleeterSeparator:
    """A loaded model of U-Nets; see ``separator.StemSeparator``.

    Args:
        architecture: architecture of the model.
        networks: its networks, which this object closes.
    """

    def __init__(self, architecture: UNetArchitecture, networks: OnnxNetworks) -> None:
        self._architecture = architecture
        self._networks = networks

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of the stems, in order."""
        return self._architecture.stems

    @property
    def sample_rate(self) -> int:
        """Sample rate of the input and of the stems, in Hz."""
        return self._architecture.sample_rate

    @property
    def provider(self) -> str:
        """ONNX Runtime's name for what the networks run on."""
        return self._networks.provider

    def raises_quiet_songs(self, options: SeparationOptions) -> bool:
        """Return whether the networks hear quiet songs as loud as others."""
        return options.quality == "best" or self._architecture.kind == "cascade"

    def meter(self, options: SeparationOptions) -> Meter:
        """Return a meter that knows how exactly the stems add up."""
        return Meter(len(self.stems), MWF_MARGIN if options.mwf else MARGIN, len(options.recipes(self.stems)))

    def separate_blocks(
        self,
        source: BlockSource,
        options: SeparationOptions,
        stages: StageTimer | None = None,
        surroundings: Surroundings = NOTHING_AROUND,
    ) -> Generator[StemBlock, None, None]:
        """Separate a song; the blocks joined together are exactly as long as the song.

        Args:
            source: opens the song; called once, or twice if a first look is needed (``mwf``, best quality,
                built-in models).
            options: of which ``quality``, ``mwf`` and ``bandwidth`` matter.
            stages: where to add the processor time of each stage.
            surroundings: what precedes and follows the song; best quality lets the networks hear it.
        """
        with _Song(self._architecture, self._networks, options, stages or StageTimer()) as song:
            if self.raises_quiet_songs(options):
                song.listen(source)
            yield from song.blocks(source, surroundings)

    def close(self) -> None:
        """Free the networks' memory."""
        self._networks.close()


def mask_extension(architecture: UNetArchitecture, options: SeparationOptions) -> masks.Extension:
    """Return how the masks continue above the networks' last bin.

    Deezer's models leave nothing there; ``full`` bandwidth masks what is there, so that the stems sum to
    the mix.
    """
    return "full" if options.bandwidth == "full" else architecture.mask_extension


class _Song(AbstractContextManager["_Song"]):
    """The separation of one song; leaving it stops its threads, and networks not yet started are not run."""

    def __init__(
        self,
        architecture: UNetArchitecture,
        networks: OnnxNetworks,
        options: SeparationOptions,
        stages: StageTimer,
    ) -> None:
        self._architecture = architecture
        self._networks = networks
        self._mwf = options.mwf
        self._best = options.quality == "best"
        self._soft = self._best and architecture.kind != "cascade"  # which was trained to be soft
        self._listening = listening.Listening()
        self._length: int | None = None
        self._extension = mask_extension(architecture, options)
        self._stages = stages
        self._computing = ThreadPoolExecutor(networks.at_once, thread_name_prefix="network")
        self._inverting = ThreadPoolExecutor(networks.at_once, thread_name_prefix="inverse")

    def listen(self, source: BlockSource) -> None:
        """Measure the song before it is separated."""
        with self._stages.measure("listen"):
            self._listening = listening.listen(source(), self._architecture.sample_rate)

    def blocks(self, source: BlockSource, surroundings: Surroundings) -> Iterator[StemBlock]:
        """Return the blocks of the song with their stems."""
        offset = self._listening.offset
        leaves_out = self._extension == "zeros"
        syntheses = [Synthesis(self._architecture) for _ in range(len(self._architecture.stems) + leaves_out)]
        unheard = self._architecture.n_fft  # the analysis puts a frame of zeros first
        if self._best:
            unheard += max(len(surroundings[0]), self._margin)
        done = 0

        def separated(found: tuple[Segment, list[Array], WienerFilter | None]) -> StemBlock:
            nonlocal unheard, done
            segment, estimates, wiener = found
            with self._stages.measure("masks"):
                expected = masks.expected_energies(
                    estimates, segment.magnitude[0], 8 / 3 if self._soft else 2
                )
                spectra = self._masked(segment, estimates, wiener)
            if leaves_out:
                spectra.append((segment.spectrum, None))
            waveforms = [segment.mix, *self._inverse(syntheses, spectra, segment.mix.shape[1])]
            end = None if self._length is None else unheard + self._length - done
            mix, *stems = (waveform[:, unheard:end] for waveform in waveforms)
            unheard = max(0, unheard - segment.mix.shape[1])
            done += mix.shape[1]
            covered = stems.pop() if leaves_out else mix
            if offset is not None:
                mix, covered = mix + offset[:, np.newaxis], covered + offset[:, np.newaxis]
                stems[-1] = stems[-1] + offset[:, np.newaxis]
            return StemBlock(mix, stems, covered, expected)

        # Unlike loops, these keep nothing of a block while the next one is made.
        blocks = map(separated, self._filtered(lambda: self._heard(source(), surroundings)))
        yield from filter(lambda block: block.mix.shape[1], blocks)

    @property
    def _margin(self) -> int:
        return _REFLECTED * self._architecture.hop_length

    def _heard(self, blocks: Iterable[Waveform], surroundings: Surroundings) -> Iterable[Waveform]:
        """Return the song as the networks hear it."""
        if self._best:
            blocks = listening.surrounded(blocks, *surroundings, self._margin, self._end)
        offset = self._listening.offset
        return blocks if offset is None else (block - offset for block in blocks)

    def _end(self, length: int) -> None:
        self._length = length

    def _filtered(self, source: BlockSource) -> Iterator[tuple[Segment, list[Array], WienerFilter | None]]:
        """Yield each segment with its stems' magnitudes and with its filter."""
        if self._mwf and self._best:
            yield from self._filtered_locally(source)
            return
        wiener = None
        if self._mwf:
            every = (self._covariances(*estimated) for estimated in self._estimates(source))
            wiener = functools.reduce(operator.add, every).filter(self._listening.gain)

        def filtered(estimated: Estimated) -> tuple[Segment, list[Array], WienerFilter | None]:
            return *estimated, wiener

        yield from map(filtered, self._estimates(source))

    def _filtered_locally(self, source: BlockSource) -> Iterator[tuple[Segment, list[Array], WienerFilter]]:
        """Filter each segment by the covariances of itself and its neighbours, which need no first pass."""
        nearby: deque[tuple[Segment, list[Array], Covariances]] = deque(maxlen=3)
        for segment, estimates in self._estimates(source):
            nearby.append((segment, estimates, self._covariances(segment, estimates)))
            if len(nearby) > 1:
                yield self._filtered_at(-2, nearby)
        yield self._filtered_at(-1, deque(nearby, 2))

    def _filtered_at(
        self, position: int, nearby: Sequence[tuple[Segment, list[Array], Covariances]]
    ) -> tuple[Segment, list[Array], WienerFilter]:
        segment, estimates, _ = nearby[position]
        total = functools.reduce(operator.add, (covariances for *_, covariances in nearby))
        return segment, estimates, total.filter(self._listening.gain)

    def _covariances(self, segment: Segment, estimates: Sequence[Array]) -> Covariances:
        with self._stages.measure("covariances"):
            return Covariances.of(segment.spectrum, estimates)

    def _masked(
        self, segment: Segment, estimates: Sequence[Array], wiener: WienerFilter | None
    ) -> list[MaskedSpectrum]:
        mix, bins = segment.spectrum, segment.spectrum.shape[2]
        stems = wiener.apply(mix, estimates) if wiener else []
        if wiener and self._extension == "zeros":
            return [(stem, None) for stem in stems]
        factors = (masks.extend(m, bins, self._extension) for m in masks.ratio_masks(estimates))
        if wiener:
            return [(stem, None) for stem in _completed(mix, stems, factors)]
        return [(mix, factor) for factor in factors]

    def _estimates(self, source: BlockSource) -> Iterator[Estimated]:
        return map(self._estimated, self._outputs(source))

    def _estimated(self, heard: tuple[Segment, list[Array]]) -> Estimated:
        segment, outputs = heard
        with self._stages.measure("masks"):
            estimates = masks.stem_magnitudes(
                self._architecture, [output[0] for output in outputs], segment.magnitude[0]
            )
            if self._soft:
                masks.soften(estimates)
        return segment, estimates

    def _outputs(self, source: BlockSource) -> Iterator[tuple[Segment, list[Array]]]:
        """Run the networks on each segment, computing the next ones while this one is used."""
        analysis = Analysis(self._architecture, full_band=self._extension != "zeros")
        blocks = self._stages.each("decode", source())
        segments = ahead(self._stages.each("stft", analysis.segments(blocks)))
        if self._best:
            return listening.blended(self._run(listening.overlapping(segments)))
        return self._run((segment, segment.magnitude) for segment in segments)

    def _run(self, windows: Iterable[tuple[Segment, Array]]) -> Iterator[tuple[Segment, list[Array]]]:
        waiting: deque[tuple[Segment, list[Future[Array]]]] = deque()
        enough = -(-self._networks.at_once // len(self._architecture.stems))
        for segment, magnitude in windows:
            waiting.append((segment, self._submit(magnitude)))
            if len(waiting) > enough:
                yield _finished(waiting)
        while waiting:
            yield _finished(waiting)

    def _submit(self, magnitude: Array) -> list[Future[Array]]:
        def timed(compute: Callable[[], Array]) -> Array:
            with self._stages.measure("network"):
                return compute()

        def start(compute: Callable[[], Array]) -> Future[Array]:
            return self._computing.submit(timed, compute)

        gain = self._listening.gain
        return self._networks.submit(start, magnitude if gain == 1 else magnitude * np.float32(gain))

    def _inverse(
        self, syntheses: Sequence[Synthesis], spectra: Sequence[MaskedSpectrum], samples: int
    ) -> list[Waveform]:
        def inverse(synthesis: Synthesis, masked: MaskedSpectrum) -> Waveform:
            with self._stages.measure("inverse"):
                return synthesis.add(*masked, samples)

        return list(self._inverting.map(inverse, syntheses, spectra))

    def __exit__(self, *_: object) -> None:
        self._computing.shutdown(cancel_futures=True)
        self._inverting.shutdown(cancel_futures=True)


def ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """Compute the next item, which must not be None, in another thread while this one is used."""
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        upcoming = thread.submit(next, items, None)
        while (item := upcoming.result()) is not None:
            upcoming = thread.submit(next, items, None)
            yield item


def _completed(mix: Spectrum, stems: Sequence[Spectrum], factors: Iterable[Array]) -> list[Spectrum]:
    """Add to each stem its mask's part of what a filter over the lower bins has left of the mix.

    The mix is overwritten.
    """
    bins = stems[0].shape[2]
    for stem in stems:
        mix[..., :bins] -= stem

    def completed(stem: Spectrum, factor: Array, out: Spectrum | None) -> Spectrum:
        whole = np.multiply(mix, factor[:, : mix.shape[1]], out=out)
        whole[..., :bins] += stem
        return whole

    return [*map(completed, stems, factors, [*[None] * (len(stems) - 1), mix])]


def _finished(waiting: deque[tuple[Segment, list[Future[Array]]]]) -> tuple[Segment, list[Array]]:
    segment, futures = waiting.popleft()
    return segment, [future.result() for future in futures]
