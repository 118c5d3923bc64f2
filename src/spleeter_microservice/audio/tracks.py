"""Choice of one of a file's sound tracks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from spleeter_microservice.errors import NoAudioStreamError, NoSuchTrackError, NotAudioError

if TYPE_CHECKING:  # a worker needs the track's description, but not PyAV, which its inference processes load
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

_IN_MP4 = frozenset(("h264", "hevc", "libdav1d", "av1", "mpeg4", "vp9", "libvpx-vp9"))


@dataclass(frozen=True)
class AudioTrack:
    """The sound track that is read.

    Attributes:
        number: its number among the file's sound tracks, from 1.
        language: its language as the file spells it, such as ``eng``, or None if the file does not say.
    """

    number: int
    language: str | None = None


def describe(container: InputContainer, stream: AudioStream) -> AudioTrack:
    """Return the number and the language of one of a container's audio streams."""
    return AudioTrack(container.streams.audio.index(stream) + 1, stream.language)


def start_time(container: InputContainer, stream: AudioStream) -> float:
    """Return the seconds by which a stream begins later than the first of all sounds and pictures."""
    return max(0.0, (_begin(stream) or 0.0) - beginning(container))


def beginning(container: InputContainer) -> float:
    """Return the time of the first of all sounds and pictures, in seconds."""
    begins = [_begin(stream) for stream in (*container.streams.audio, *container.streams.video)]
    return min((begin for begin in begins if begin is not None), default=0.0)


def find_pictures(container: InputContainer) -> VideoStream | None:
    """Return the first stream of pictures that is not a cover."""
    from av.stream import Disposition  # noqa: PLC0415

    for stream in container.streams.video:
        context: object = stream.codec_context  # None without a decoder, despite PyAV's type
        if context is not None and not stream.disposition & Disposition.attached_pic:
            return stream
    return None


def film_container(container: InputContainer) -> str | None:
    """Return the name of the container that can hold a film's pictures, or None if there are none.

    Whatever MP4 holds in a way that players understand stays there; Matroska holds everything.
    """
    if (stream := find_pictures(container)) is None:
        return None
    is_mp4 = container.format.name.startswith("mov,mp4") and stream.codec_context.name in _IN_MP4
    return "mp4" if is_mp4 else "mkv"


def _begin(stream: Stream) -> float | None:
    from av.stream import Disposition  # noqa: PLC0415

    if stream.start_time is None or stream.time_base is None or stream.disposition & Disposition.attached_pic:
        return None
    return float(stream.start_time * stream.time_base)


def choose(path: Path, container: InputContainer, wanted: str | None) -> AudioStream:
    """Return the audio stream that the caller wants, or the main one that can be decoded.

    Args:
        path: path of the file, for error messages.
        container: the open file.
        wanted: number from 1 or language; None for the main track.

    Raises:
        NoAudioStreamError: if the file has no sound.
        NoSuchTrackError: if the file has no such track.
        NotAudioError: if the track cannot be decoded.
    """
    streams = container.streams.audio
    if not streams:
        raise NoAudioStreamError(f"{path} has no audio track. Pass a file with sound.")
    stream = _main(container) if wanted is None else _wanted(path, streams, wanted)
    if not _decodable(stream):
        raise NotAudioError(
            f"The audio of {path} is in a format that cannot be decoded. Convert it to WAV or FLAC."
        )
    return stream


def _main(container: InputContainer) -> AudioStream:
    """Return the stream that FFmpeg would play, or another one if no decoder knows it."""
    # FFmpeg selects no best stream if it found no decoder or no samples.
    best = cast("AudioStream | None", container.streams.best("audio"))
    candidates = [best] if best else []
    candidates += container.streams.audio
    return next(filter(_decodable, candidates), candidates[0])


def _decodable(stream: AudioStream) -> bool:
    context: object = stream.codec_context  # None without a decoder, despite PyAV's type
    return context is not None


def _wanted(path: Path, streams: tuple[AudioStream, ...], wanted: str) -> AudioStream:
    """Return the stream of a number or, among those of a language, the first that can be decoded."""
    if wanted.isdecimal():
        found = list(streams[int(wanted) - 1 : int(wanted)]) if int(wanted) else []
    else:
        found = [stream for stream in streams if (stream.language or "").lower() == wanted.lower()]
    if not found:
        tracks = ", ".join(
            f"{number} ({stream.language})" if stream.language else str(number)
            for number, stream in enumerate(streams, 1)
        )
        raise NoSuchTrackError(f"{path} has no track {wanted!r}. Choose one of its audio tracks: {tracks}.")
    return next(filter(_decodable, found), found[0])
