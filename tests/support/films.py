"""Films whose pictures flash where their sound clicks, made with PyAV for the tests."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream

from tests.support.audio_files import Options, Waveform

SOUND_RATE = 48_000
PICTURES_PER_SECOND = 25
FLASH = 0.76
"""Seconds at which the pictures of a film are white."""
_SIZE = 32


def film(
    path: Path,
    muxer: str,
    sounds: Mapping[str, Waveform],
    *,
    late: float = 0,
    video: str = "mpeg4",
    audio: str = "aac",
    pictures: int = 50,
    early: int = 0,
    rotation: int = 0,
    container_options: Options | None = None,
) -> Path:
    """Write a film.

    Args:
        path: path of the file.
        muxer: FFmpeg's name of the container.
        sounds: sound tracks at 48 kHz by language, of shape (frames, 1 or 2).
        late: seconds by which the sound begins later than the pictures.
        video: FFmpeg's name of the pictures' encoder.
        audio: FFmpeg's name of the sound's encoder.
        pictures: number of pictures, at 25 per second.
        early: number of pictures before the beginning, which players do not show.
        rotation: degrees by which players turn the pictures.
        container_options: options of the muxer.
    """
    with av.open(str(path), "w", format=muxer, container_options=dict(container_options or {})) as container:
        screen = container.add_stream(video, rate=PICTURES_PER_SECOND)
        assert isinstance(screen, av.VideoStream)
        screen.width = screen.height = _SIZE
        screen.pix_fmt = "yuv422p10le" if video == "prores" else "yuv420p"
        if rotation:
            screen.set_display_rotation(rotation)
        streams: list[AudioStream] = []
        for language, sound in sounds.items():
            stream = container.add_stream(audio, rate=SOUND_RATE)
            assert isinstance(stream, AudioStream)
            stream.codec_context.layout = "mono" if sound.shape[1] == 1 else "stereo"
            stream.metadata["language"] = language
            streams.append(stream)
        for number in range(-early, pictures):
            picture = av.VideoFrame(_SIZE, _SIZE, "yuv420p")
            is_white = number == round(FLASH * PICTURES_PER_SECOND)
            for plane, value in zip(picture.planes, (235 if is_white else 16, 128, 128), strict=True):
                plane.update(bytes([value]) * plane.buffer_size)
            picture.pts = number
            container.mux(screen.encode(picture))
        container.mux(screen.encode(None))
        for stream, sound in zip(streams, sounds.values(), strict=True):
            layout = stream.codec_context.layout.name
            frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1), format="flt", layout=layout)
            frame.sample_rate, frame.pts = SOUND_RATE, round(late * SOUND_RATE)
            resampler = av.AudioResampler(stream.codec_context.format, layout, SOUND_RATE)
            for part in resampler.resample(frame):
                container.mux(stream.encode(part))
            container.mux(stream.encode(None))
    return path


def dubbed(folder: Path) -> Path:
    """Write a film with two sound tracks, eng and the mono deu, that begin half a second after the pictures.

    The one of deu lasts a second, and clicks when the pictures flash.
    """
    sounds = {"eng": click(0.7, 1.0), "deu": click(FLASH - 0.5, 1.0, channels=1)}
    return film(folder / "film.mkv", "matroska", sounds, late=0.5, audio="flac")


def check_deu(stems: Iterable[bytes]) -> None:
    """Check stems of the track deu: WAV of 24 bits, mono, at its rate, with its delay."""
    total = np.zeros(SOUND_RATE * 3 // 2)
    for stem in stems:
        with av.open(io.BytesIO(stem), "r") as container:
            context = container.streams.audio[0].codec_context
            assert (context.name, context.layout.name, context.rate) == ("pcm_s24le", "mono", SOUND_RATE)
            total += np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    found = np.abs(total)
    assert found.argmax() == round(SOUND_RATE * FLASH), (
        found.argmax(),
        found.max(),
        found[round(SOUND_RATE * FLASH)],
    )


def check_step(copy: bytes, rotation: int = 0) -> None:
    """Check that a film clicks within 5 ms of its only white picture, and how players turn its pictures."""
    with av.open(io.BytesIO(copy), "r") as container:
        shown = [frame for frame in container.decode(video=0) if (frame.time or 0) >= 0]
    (flash,) = (frame for frame in shown if np.asarray(frame.to_ndarray(format="gray")).mean() > 128)
    assert flash.rotation % 360 == rotation
    mono = av.AudioResampler("fltp", "mono")
    with av.open(io.BytesIO(copy), "r") as container:
        frames = [part for frame in container.decode(audio=0) for part in mono.resample(frame)]
    loudest = max(frames, key=lambda frame: float(np.abs(frame.to_ndarray()).max()))
    position = int(np.abs(loudest.to_ndarray()[0]).argmax())
    assert flash.time == pytest.approx((loudest.time or 0) + position / loudest.sample_rate, abs=0.005)


def click(at: float, seconds: float, channels: int = 2) -> Waveform:
    """Return silence with a single click at a time, at 48 kHz."""
    sound = np.zeros((round(seconds * SOUND_RATE), channels), np.float32)
    sound[round(at * SOUND_RATE)] = 0.9
    return sound
