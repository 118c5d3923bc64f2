"""Opening a file of unknown origin as audio, and nothing but that file."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, NoReturn

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from spleeter_microservice import errors
from spleeter_microservice.audio import tracks
from spleeter_microservice.audio.containers import DEMUXERS
from spleeter_microservice.audio.parts import Part, Structure
from spleeter_microservice.audio.structure import examine, find_sound
from spleeter_microservice.audio.tags import Tags, read_tags

_READ_SIZE = 1 << 16  # bytes
_LARGEST_HEAD = 16 << 20  # bytes before an MP3's sound in which tags are looked for
_NO_PICTURES = {"max_pixels": "1"}  # a small file may have pictures that take all memory once decoded
_PICTURES = {"max_pixels": str(1 << 26)}  # some containers leave their size to the decoder


class View:
    """A part of a file, as FFmpeg reads it.

    A read error is reported as the end of the file and recorded in ``error``: exceptions must not
    pass through FFmpeg, which continues and loses all but one of them. FFmpeg must not see the name of
    the file either: it would believe the extension rather than the content.

    Attributes:
        size: number of bytes.
        error: the first read error.
    """

    def __init__(self, file: BinaryIO, part: Part | None = None) -> None:
        self._file = file
        self._part = part or Part(0, file.seek(0, os.SEEK_END))
        self._position = 0
        self.size = self._part.end - self._part.start
        self.error: OSError | None = None

    def read(self, size: int) -> bytes:
        """Return at most ``size`` bytes, or none at the end of the part."""
        start = self._part.start + self._position
        if self._position >= self.size:
            return b""
        try:
            self._file.seek(start)
            data = self._file.read(min(size, self.size - self._position))
        except OSError as error:
            self.error = error
            return b""
        self._position += len(data)
        return _patched(data, start, self._part.patches) if self._part.patches else data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position and return it, or return a negative number if it does not exist."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}.get(whence, -1)
        if base < 0 or not 0 <= base + offset < 1 << 63:
            return -errno.EINVAL
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position


def _patched(data: bytes, start: int, patches: Mapping[int, bytes]) -> bytes:
    changed = bytearray(data)
    for position, new in patches.items():
        for at, byte in enumerate(new, position - start):
            if 0 <= at < len(changed):
                changed[at] = byte
    return bytes(changed)


@dataclass(frozen=True)
class OpenPart:
    """An open part of a file: its bytes, its container, the audio stream to decode and its channels."""

    view: View
    container: InputContainer
    stream: AudioStream
    part: Part
    layout: av.AudioLayout


class AudioFile:
    """A file of unknown origin, opened as audio.

    Args:
        path: the file to open.
        track: number from 1 or language of the sound track; None selects the main one.

    Attributes:
        structure: findings about the file from its own bytes.

    Raises:
        UnreadableInputError: if the file is missing, is not a regular file or may not be read.
        EmptyInputError: if the file has no bytes.
        EncryptedInputError: if the file is protected by DRM.
    """

    def __init__(self, path: Path, track: str | None = None) -> None:
        self._path, self._track = path, track
        self._file = _open_file(path)
        try:
            self.structure = examine(View(self._file))
            _refuse_encrypted(path, self.structure)
        except BaseException:
            self._file.close()
            raise

    def tags(self) -> Tags | None:
        """Return the tags of the file, or None if it has none that can be read."""
        part = self.structure.parts[0]
        if part.start <= _LARGEST_HEAD:
            part = replace(part, start=0)  # the tags of MP3 are before its sound
        try:
            opened = self.open(part, "surrogateescape")
        except errors.InputError:
            return None
        with opened.container as container, suppress(av.FFmpegError):
            return read_tags(container, opened.view)
        return None

    def open(self, part: Part, invalid_text: str = "replace") -> OpenPart:
        """Open a part of the file and select an audio stream in it.

        Args:
            part: the part.
            invalid_text: what to do with bytes in texts that are not UTF-8, as in ``bytes.decode``.

        Raises:
            NotAudioError: if it is not in a known audio format.
            NoAudioStreamError: if it has no sound.
            NoSuchTrackError: if it does not have the track.
            TruncatedInputError: if it is cut off before its index.
            UnreadableInputError: if reading fails.
        """
        view = View(self._file, part)
        try:
            container = _open_container(self._path, view, self.structure, invalid_text)
        except errors.NotAudioError:
            # Like a player that goes by the name, look for Ogg, MP3 or FLAC behind other data.
            start = find_sound(view)
            view = View(self._file, replace(part, start=part.start + (start or 0)))
            container = _open_container(
                self._path, view, self.structure, invalid_text, None if start else "flac"
            )
            if not container.streams.audio[0].codec_context.sample_rate:
                container.close()
                raise
        try:
            stream = tracks.choose(self._path, container, self._track)
            for other in container.streams:
                if other.index != stream.index:
                    other.discard = av.stream.Discard.all
            return OpenPart(view, container, stream, part, _take_layout(stream))
        except BaseException:
            container.close()
            raise

    def open_pictures(self) -> tuple[InputContainer, VideoStream]:
        """Open the file for its pictures.

        Raises:
            NoPicturesError: if it has none but covers.
            InputError: if it cannot be opened.
        """
        if len(self.structure.parts) == 1:
            view = View(self._file, self.structure.parts[0])
            container = _open_container(self._path, view, self.structure, "replace", pictures=True)
            if stream := tracks.find_pictures(container):
                return container, stream
            container.close()
        raise errors.NoPicturesError(f"{self._path} is not a film: it has no pictures. Leave video out.")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _open_file(path: Path) -> BinaryIO:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would block
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise errors.UnreadableInputError(f"{path} is {kind}. Pass an audio file.")
        if status.st_size == 0:
            raise errors.EmptyInputError(f"{path} is empty. Copy or download it again.")
        return path.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise errors.UnreadableInputError(f"{path} does not exist. Check the path.") from error
    except PermissionError as error:
        raise errors.UnreadableInputError(
            f"{path} may not be read by this user. Change its permissions, or those of its directories."
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        raise errors.UnreadableInputError(f"{path} cannot be opened: {error}.") from error


def _refuse_encrypted(path: Path, structure: Structure) -> None:
    if structure.encrypted:
        raise errors.EncryptedInputError(
            f"{path} is protected by DRM and cannot be decoded. Use a copy without protection."
        )


def _open_container(
    path: Path,
    view: View,
    structure: Structure,
    invalid_text: str,
    container_format: str | None = None,
    *,
    pictures: bool = False,
) -> InputContainer:
    options = {"format_whitelist": DEMUXERS, "protocol_whitelist": "", "err_detect": "crccheck"}
    if pictures:
        options["fflags"] = "+genpts"  # AVI has no times of display
    try:
        # FFmpeg does not see the path, which it might read as a URL, and `io_open` refuses every
        # other file that the container refers to.
        return av.open(
            view,
            mode="r",
            format=container_format,
            options=_PICTURES if pictures else _NO_PICTURES,
            container_options=options,
            metadata_errors=invalid_text,
            buffer_size=_READ_SIZE,
            io_open=_refuse,
        )
    except (av.FFmpegError, ValueError, PermissionError) as error:
        if view.error:
            raise unreadable(path, view.error) from error
        if structure.is_known_audio:
            raise errors.TruncatedInputError(
                f"{path} is cut off and nothing of it can be read. Copy or download it again."
            ) from error
        raise errors.NotAudioError(
            f"{path} is not in a known audio format. Convert it to WAV, FLAC, MP3, M4A, OGG, Opus or WMA."
        ) from error


def unreadable(path: Path, error: OSError) -> errors.UnreadableInputError:
    """Return the error to raise for an I/O error."""
    return errors.UnreadableInputError(
        f"{path} cannot be read: {error.strerror}. Check the disk or network that holds it."
    )


def _refuse(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    raise PermissionError(f"The media file refers to {url!r}, which may not be opened.")


def _take_layout(stream: AudioStream) -> av.AudioLayout:
    """Return the layout of a stream's channels; if it is unusual, the stream keeps only their number.

    An unusual layout has a list, which PyAV frees with every object that refers to it. So only the returned
    object may do so: not the codec's context, nor the frames that it decodes.
    """
    context = stream.codec_context
    layout = context.layout
    if " channels (" in layout.name:
        context.layout = f"{layout.nb_channels}C"
    return layout
