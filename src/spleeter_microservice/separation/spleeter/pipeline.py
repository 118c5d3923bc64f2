"""From a stream of audio to streams of stems, in segments, the stages overlapping in time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, Self, TypeVar

from spleeter_microservice.arrays import Array, Spectrum, Waveform
from spleeter_microservice.separation.quality import (
    MWF_RESIDUAL_MARGIN,
    RESIDUAL_MARGIN,
    QualityMeter,
)
from spleeter_microservice.separation.spleeter import masks
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture
from spleeter_microservice.separation.spleeter.network import OnnxNetworks
from spleeter_microservice.separation.spleeter.spectrogram import Analysis, Segment, Synthesis
from spleeter_microservice.separation.spleeter.wiener import Covariances, WienerFilter
from spleeter_microservice.separation.stage_timer import StageTimer

T = TypeVar("T")
MaskedSpectrum = tuple[Spectrum, Array | None]
Bandwidth = Literal["official", "full"]
Source = Callable[[], Iterable[Waveform]]
"""Opens the input: each call gives its blocks, of shape (samples, 2), from the beginning."""


@dataclass(frozen=True)
class StemBlock:
    """A stretch of the song.

    Attributes:
        mix: shape (2, samples).
        stems: one per instrument, each of that shape.
        energy: of the mix's spectrogram, (below the networks' last bin, above it).
    """

    mix: Waveform
    stems: Sequence[Waveform]
    energy: tuple[float, float]


class SpleeterSeparator:
    """Separates with one loaded model; used by one song at a time.

    Args:
        architecture: of the model.
        networks: of the model; the pipeline does not close them.
        mwf: refine the masks by a multichannel Wiener filter, in a second pass.
        bandwidth: ``official`` follows the model's ``mask_extension``, which for Deezer's
            models leaves nothing above the networks' last bin; ``full`` shares out what is
            there, so that the stems sum to the mix.
    """

    def __init__(
        self,
        architecture: UNetArchitecture,
        networks: OnnxNetworks,
        *,
        mwf: bool = False,
        bandwidth: Bandwidth = "official",
    ) -> None:
        self.architecture = architecture
        self.stages = StageTimer()
        self._networks = networks
        self._mwf = mwf
        self._extension: masks.Extension = "full" if bandwidth == "full" else architecture.mask_extension
        self._computing = ThreadPoolExecutor(networks.at_once, thread_name_prefix="network")
        self._inverting = ThreadPoolExecutor(networks.at_once, thread_name_prefix="inverse")

    @property
    def provider(self) -> str:
        """What the networks run on."""
        return self._networks.provider

    def meter(self) -> QualityMeter:
        """Give the measure that fits what this pipeline does by design."""
        margin = MWF_RESIDUAL_MARGIN if self._mwf else RESIDUAL_MARGIN
        return QualityMeter(len(self.architecture.stems), self._extension == "zeros", margin)

    def separate_blocks(self, source: Source) -> Generator[StemBlock, None, None]:
        """Separate a song; the pieces joined together have exactly its length.

        Args:
            source: called once, or twice with ``mwf``.
        """
        wiener = self._first_pass(source) if self._mwf else None
        syntheses = [Synthesis(self.architecture) for _ in self.architecture.stems]
        silence = self.architecture.n_fft  # the analysis puts a frame of zeros first
        for segment, estimates in self._estimates(source):
            with self.stages.measure("masks"):
                spectra = self._share_out(segment, estimates, wiener)
            stems = self._inverse(syntheses, spectra, segment.mix.shape[1])
            yield StemBlock(segment.mix[:, silence:], [stem[:, silence:] for stem in stems], segment.energy)
            silence = 0

    def _first_pass(self, source: Source) -> WienerFilter:
        covariances = Covariances(len(self.architecture.stems), self.architecture.bins)
        for segment, estimates in self._estimates(source):
            with self.stages.measure("covariances"):
                covariances.add(segment.spectrum, estimates)
        return covariances.filter()

    def _share_out(
        self, segment: Segment, estimates: Sequence[Array], wiener: WienerFilter | None
    ) -> list[MaskedSpectrum]:
        mix, bins = segment.spectrum, segment.spectrum.shape[2]
        stems = wiener.apply(mix, estimates) if wiener else []
        if wiener and self._extension == "zeros":
            return [(stem, None) for stem in stems]
        factors = [masks.extended(m, bins, self._extension) for m in masks.ratio_masks(estimates)]
        if wiener:
            return [(stem, None) for stem in _completed(mix, stems, factors)]
        return [(mix, factor) for factor in factors]

    def _estimates(self, source: Source) -> Iterator[tuple[Segment, list[Array]]]:
        for segment, outputs in self._outputs(source):
            with self.stages.measure("masks"):
                estimates = masks.estimates(
                    self.architecture, [output[0] for output in outputs], segment.magnitude[0]
                )
            yield segment, estimates

    def _outputs(self, source: Source) -> Iterator[tuple[Segment, list[Array]]]:
        """Run the networks on each segment; the next are computed while this one is used."""
        analysis = Analysis(self.architecture, full_band=self._extension != "zeros")
        blocks = self.stages.each("decode", source())
        waiting: deque[tuple[Segment, list[Future[Array]]]] = deque()
        enough = -(-self._networks.at_once // len(self.architecture.stems))
        for segment in ahead(self.stages.each("stft", analysis.segments(blocks))):
            waiting.append((segment, self._submit(segment)))
            if len(waiting) > enough:
                yield _finished(waiting)
        while waiting:
            yield _finished(waiting)

    def _submit(self, segment: Segment) -> list[Future[Array]]:
        def timed(compute: Callable[[], Array]) -> Array:
            with self.stages.measure("network"):
                return compute()

        def start(compute: Callable[[], Array]) -> Future[Array]:
            return self._computing.submit(timed, compute)

        return self._networks.submit(start, segment.magnitude)

    def _inverse(
        self, syntheses: Sequence[Synthesis], spectra: Sequence[MaskedSpectrum], samples: int
    ) -> list[Waveform]:
        def inverse(synthesis: Synthesis, masked: MaskedSpectrum) -> Waveform:
            with self.stages.measure("inverse"):
                return synthesis.add(*masked, samples)

        return list(self._inverting.map(inverse, syntheses, spectra))

    def close(self) -> None:
        """Stop the pipeline's threads; networks not yet started are not computed."""
        self._computing.shutdown(cancel_futures=True)
        self._inverting.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """Compute the next item, which must not be None, in another thread while this one is used."""
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        upcoming = thread.submit(next, items, None)
        while (item := upcoming.result()) is not None:
            upcoming = thread.submit(next, items, None)
            yield item


def _completed(mix: Spectrum, stems: Sequence[Spectrum], factors: Sequence[Array]) -> list[Spectrum]:
    """Share out by masks what a filter over the lower bins has left of the mix."""
    rest = mix.copy()
    bins = stems[0].shape[2]
    for stem in stems:
        rest[..., :bins] -= stem
    whole = [rest * factor[:, : mix.shape[1]] for factor in factors]
    for stem, completed in zip(stems, whole, strict=True):
        completed[..., :bins] += stem
    return whole


def _finished(waiting: deque[tuple[Segment, list[Future[Array]]]]) -> tuple[Segment, list[Array]]:
    segment, futures = waiting.popleft()
    return segment, [future.result() for future in futures]
