"""The pictures of a film, copied packet by packet into a file with another sound."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from spleeter_microservice.audio import tracks
from spleeter_microservice.audio.output_format import FilmFormat
from spleeter_microservice.audio.reader import AudioReader
from spleeter_microservice.audio.source import AudioFile
from spleeter_microservice.errors import InputError


class Pictures:
    """The pictures of a film, read while its new sound is written.

    Args:
        path: the film.
        late: seconds by which the new sound begins later than the film.

    Attributes:
        late: the same.

    Raises:
        InputError: if the film cannot be read, or has no pictures.
    """

    def __init__(self, path: Path, late: float) -> None:
        self.late = late
        self._file = AudioFile(path)
        try:
            self._container, self._stream = self._file.open_pictures()
        except BaseException:
            self._file.close()
            raise
        self._shift = round(tracks.beginning(self._container) / (self._stream.time_base or 1))
        self._packets = self._container.demux(self._stream)
        self._next: av.Packet[Any] | None = None
        self._ended = False

    def add_to(self, container: OutputContainer) -> None:
        """Add a stream for the pictures to a file, before its sound; players turn it as they do the film."""
        added = container.add_stream_from_template(self._stream, opaque=True)
        assert isinstance(added, VideoStream)
        if self._stream.codec_context.codec_tag == "hvc1":  # Apple's players accept no other tag
            added.codec_context.codec_tag = "hvc1"
        self._copy = added

    def write_until(self, container: OutputContainer, seconds: float) -> None:
        """Copy the pictures that come before a time of the new sound, so that both are interleaved."""
        end = (seconds + self.late) / (self._stream.time_base or 1)
        while not self._ended:
            packet = self._next or self._read()
            self._next = packet
            if packet is None or (packet.dts is not None and packet.dts > end):
                return
            packet.stream = self._copy
            container.mux(packet)
            self._next = None

    def _read(self) -> av.Packet[Any] | None:
        """Return the next packet at its time in the copy, or None at the end or where the film is damaged."""
        try:
            packet = next(self._packets, None)
        except av.FFmpegError:
            packet = None
        if packet is None or not packet.size:
            self._ended = True
            return None
        packet.pts = None if packet.pts is None else packet.pts - self._shift
        packet.dts = None if packet.dts is None else packet.dts - self._shift
        return packet

    def close(self) -> None:
        """Close the film."""
        self._container.close()
        self._file.close()


@dataclass(frozen=True)
class Film:
    """A film whose pictures are copied.

    Attributes:
        path: the film.
        late: seconds by which the new sound begins later than the film.
        format: format of the copy.
    """

    path: Path
    late: float
    format: FilmFormat


def container_of(path: Path) -> str:
    """Return the name of the container for a film's pictures, which is also the ending of its files.

    If the file is no film, or cannot be read, that is found out when it is separated.
    """
    try:
        with AudioReader(path) as reader:
            return reader.film or "mp4"
    except InputError:
        return "mp4"
