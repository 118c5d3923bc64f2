"""Songs with their stems, as folders of files and as musdb has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import av
import numpy as np

from spleeter_microservice.evaluation.song_files import MUSDB_TRACKS
from tests.support.audio_files import RATE, Waveform, encode_kind, noise

FLOAT = "f32.wav"


def stems(*names: str, samples: int = RATE) -> dict[str, Waveform]:
    """Return different noise for each name, shape (samples, 2)."""
    return {name: noise(samples, seed=sum(map(ord, name))) for name in names}


def mixed(waveforms: Mapping[str, Waveform]) -> Waveform:
    total: Waveform = np.sum(list(waveforms.values()), axis=0, dtype=np.float32)
    return total


def write_song(folder: Path, waveforms: Mapping[str, Waveform], suffix: str = "wav") -> Path:
    """Write one file per stem, in floating point."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, waveform in waveforms.items():
        encode_kind(folder / f"{name}.{suffix}", waveform, FLOAT)
    return folder


def write_musdb(path: Path, waveforms: Mapping[str, Waveform]) -> Path:
    """Write a file of five streams, in musdb's order; ALAC is lossless, unlike AAC."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tracks = {"mixture": mixed(waveforms), **waveforms}
    with av.open(str(path), "w", format="mp4") as container:
        streams = [container.add_stream("alac", rate=RATE) for _ in MUSDB_TRACKS]
        for stream in streams:
            stream.codec_context.layout = "stereo"
            stream.codec_context.format = "s16p"
        for stream, name in zip(streams, MUSDB_TRACKS, strict=True):
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(tracks[name]).reshape(1, -1), format="flt", layout="stereo"
            )
            frame.sample_rate, frame.pts = RATE, 0
            for part in av.AudioResampler(format="s16p", layout="stereo", rate=RATE).resample(frame):
                container.mux(stream.encode(part))
            container.mux(stream.encode(None))
    return path
