"""Signals, and audio files made of them with PyAV, for the tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from numpy.typing import NDArray

from spleeter_microservice.audio.reader import AudioReader

Waveform = NDArray[np.float32]
Options = Mapping[str, str]

RATE = 44100

# Muxer, encoder, and what else one has to say, for files of every kind that is read.
KINDS: dict[str, dict[str, Any]] = {
    "u8.wav": {"muxer": "wav", "encoder": "pcm_u8"},
    "s16.wav": {"muxer": "wav", "encoder": "pcm_s16le"},
    "s24.wav": {"muxer": "wav", "encoder": "pcm_s24le"},
    "s32.wav": {"muxer": "wav", "encoder": "pcm_s32le"},
    "f32.wav": {"muxer": "wav", "encoder": "pcm_f32le"},
    "f64.wav": {"muxer": "wav", "encoder": "pcm_f64le"},
    "aiff": {"muxer": "aiff", "encoder": "pcm_s16be"},
    "flac": {"muxer": "flac", "encoder": "flac", "sample_format": "s16"},
    "s24.flac": {"muxer": "flac", "encoder": "flac", "sample_format": "s32"},
    "mp3": {"muxer": "mp3", "encoder": "libmp3lame"},
    "vbr.mp3": {"muxer": "mp3", "encoder": "libmp3lame", "quality": 4 * 118},
    "headerless.mp3": {"muxer": "mp3", "encoder": "libmp3lame", "container_options": {"write_xing": "0"}},
    "m4a": {"muxer": "ipod", "encoder": "aac", "container_options": {"movie_timescale": "44100"}},
    "index-first.m4a": {
        "muxer": "ipod",
        "encoder": "aac",
        "container_options": {"movie_timescale": "44100", "movflags": "faststart"},
    },
    "fragmented.mp4": {
        "muxer": "mp4",
        "encoder": "aac",
        "container_options": {"movflags": "frag_keyframe+empty_moov", "frag_duration": "500000"},
    },
    "alac.m4a": {"muxer": "ipod", "encoder": "alac"},
    "ogg": {"muxer": "ogg", "encoder": "vorbis", "options": {"strict": "-2"}},
    "flac.ogg": {"muxer": "ogg", "encoder": "flac"},
    "opus": {"muxer": "ogg", "encoder": "libopus", "rate": 48000},
    "wma": {"muxer": "asf", "encoder": "wmav2", "bitrate": 128_000},
    "webm": {"muxer": "webm", "encoder": "libopus", "rate": 48000},
    "live.webm": {
        "muxer": "webm",
        "encoder": "libopus",
        "rate": 48000,
        "container_options": {"live": "1"},
    },
    "mkv": {"muxer": "matroska", "encoder": "aac"},
    "tta": {"muxer": "tta", "encoder": "tta", "sample_format": "s16"},
    "aac": {"muxer": "adts", "encoder": "aac"},
    "caf": {"muxer": "caf", "encoder": "pcm_s16le"},
    "w64": {"muxer": "w64", "encoder": "pcm_s16le"},
    "au": {"muxer": "au", "encoder": "pcm_s16be"},
    "wv": {"muxer": "wv", "encoder": "wavpack"},
    "avi": {"muxer": "avi", "encoder": "mp2"},
}


def noise(frames: int, channels: int = 2, seed: int = 1) -> Waveform:
    """Return decaying bursts of noise below full scale, shape (frames, channels).

    Nothing in it repeats, so that any shift shows, and it has no high frequencies, so that lossy
    codecs keep it.
    """
    samples = np.random.default_rng(seed).standard_normal((frames + 8, channels))
    smooth = sum(samples[i : i + frames] for i in range(9)) / 9
    decay = np.exp(-(np.arange(frames) % 9000) / 900)[:, None]
    return np.clip(0.5 * smooth * decay, -1, 1).astype(np.float32)


def encode(
    path: Path,
    waveform: Waveform,
    *,
    muxer: str,
    encoder: str,
    rate: int = RATE,
    layout: str | None = None,
    sample_format: str | None = None,
    bitrate: int | None = None,
    quality: int | None = None,
    options: Options | None = None,
    container_options: Options | None = None,
    metadata: Options | None = None,
    start: int = 0,
) -> Path:
    """Write an audio file from samples of shape (frames, channels); ``start`` is the first position."""
    layout = layout or {1: "mono", 2: "stereo", 6: "5.1"}[waveform.shape[1]]
    with av.open(
        f"file:{path}", "w", format=muxer, container_options=dict(container_options or {})
    ) as container:
        container.metadata.update(metadata or {})
        stream = cast(AudioStream, container.add_stream(encoder, rate=rate, options=dict(options or {})))
        context = stream.codec_context
        context.layout = layout
        if sample_format:
            context.format = sample_format
        if bitrate:
            context.bit_rate = bitrate
        if quality is not None:
            context.qscale, context.global_quality = True, quality
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(waveform, np.float32).reshape(1, -1), format="flt", layout=layout
        )
        frame.sample_rate, frame.pts = rate, start
        resampler = av.AudioResampler(format=context.format, layout=layout, rate=rate)
        for resampled in resampler.resample(frame) if len(waveform) else ():
            container.mux(stream.encode(resampled))
        container.mux(stream.encode(None))
        container.start_encoding()  # writes the header, if there was nothing to encode
    return path


def with_pictures(
    path: Path,
    waveform: Waveform,
    muxer: str,
    video: str,
    sound: str,
    *,
    cover: bool = False,
    pictures: int = 25,
) -> Path:
    """Write a video of tiny pictures, or a song with a cover picture."""
    with av.open(str(path), "w", format=muxer) as container:
        screen = container.add_stream(video, rate=25)
        assert isinstance(screen, av.VideoStream)
        screen.width = screen.height = 32
        screen.pix_fmt = "yuvj420p" if cover else "yuv420p"
        stream = container.add_stream(sound, rate=RATE)
        assert isinstance(stream, av.AudioStream)
        stream.codec_context.layout = "stereo"
        if cover:
            screen.disposition = av.stream.Disposition.attached_pic
        for position in range(1 if cover else pictures):
            picture = av.VideoFrame(32, 32, screen.pix_fmt)
            picture.pts = position
            container.mux(screen.encode(picture))
        container.mux(screen.encode(None))
        frame = av.AudioFrame.from_ndarray(waveform.reshape(1, -1), format="flt", layout="stereo")
        frame.sample_rate, frame.pts = RATE, 0
        wanted = stream.codec_context.format
        for part in av.AudioResampler(format=wanted, layout="stereo", rate=RATE).resample(frame):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def encode_kind(path: Path, waveform: Waveform, kind: str) -> Path:
    """Write an audio file of one of the ``KINDS``."""
    return encode(path, waveform, **KINDS[kind])


def read(path: Path, block: int = 5000, **options: Any) -> Waveform:
    """Read a whole file with the package's own reader."""
    with AudioReader(path, **options) as reader:
        return np.concatenate(list(reader.blocks(block)))


def lag(reference: Waveform, other: Waveform) -> int:
    """Return the delay, in frames, of the first channel against that of the other waveform."""
    size = len(reference) + len(other)
    spectrum = np.fft.rfft(other[:, 0], size) * np.conj(np.fft.rfft(reference[:, 0], size))
    peak = int(np.argmax(np.fft.irfft(spectrum, size)))
    return peak if peak < size // 2 else peak - size


def distance(reference: Waveform, other: Waveform) -> float:
    """Return the energy of the difference relative to the signal's, in dB, over the frames of both."""
    frames = min(len(reference), len(other))
    difference = reference[:frames].astype(np.float64) - other[:frames]
    power = np.sum(reference[:frames].astype(np.float64) ** 2)
    return float(10 * np.log10(np.sum(difference**2) / power + 1e-30))
