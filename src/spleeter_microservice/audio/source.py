"""Opening a file of unknown origin as audio, and nothing but that file."""

from __future__ import annotations

import errno
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

import av
from av.audio.stream import AudioStream
from av.container import InputContainer

from spleeter_microservice.audio import tracks
from spleeter_microservice.audio.structure import Structure, examine
from spleeter_microservice.errors import (
    EmptyInputError,
    EncryptedInputError,
    NotAudioError,
    TruncatedInputError,
    UnreadableInputError,
)

# Demuxers that read a single file with sound. Those of playlists and session descriptions (hls,
# dash, concat, sdp, imf), which open other files or the network, are left out.
DEMUXERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dts,eac3,flac,flv,matroska,mov,mp3,mpc,mpc8,mpeg,mpegts,ogg,tak,"
    "truehd,tta,voc,w64,wav,webm,wv"
)

_READ_SIZE = 1 << 16  # bytes


class WatchedFile:
    """A file that reports a read error as its end and records it in ``error``.

    Exceptions must not pass through FFmpeg, which continues and loses all but one of them.
    """

    def __init__(self, file: BinaryIO, suffix: str) -> None:
        self._file = file
        # FFmpeg uses the name only to distinguish similar formats by the extension.
        self.name = f"audio{suffix}"
        self.error: OSError | None = None

    def read(self, size: int) -> bytes:
        """Return at most ``size`` bytes, or none at the end of the file."""
        try:
            return self._file.read(size)
        except OSError as error:
            self.error = error
            return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a position and return it, or return a negative number if it does not exist."""
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return -errno.EINVAL

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass(frozen=True)
class AudioInput:
    """An open audio file: its container, the audio stream to decode, and its structure."""

    file: WatchedFile
    container: InputContainer
    stream: AudioStream
    structure: Structure

    def close(self) -> None:
        """Close the container, then the file that it reads."""
        self.container.close()
        self.file.close()


def open_audio(path: Path, track: str | None = None) -> AudioInput:
    """Open a file and select an audio stream in it.

    Args:
        path: the file to open.
        track: number from 1 or language of the sound track; None selects the main one.

    Raises:
        UnreadableInputError: if the file is missing, is not a regular file or may not be read.
        EmptyInputError: if the file has no bytes.
        NotAudioError: if the file is not in a known audio format.
        NoAudioStreamError: if the file has no sound.
        NoSuchTrackError: if it does not have the track.
        EncryptedInputError: if the file is protected by DRM.
        TruncatedInputError: if the file is cut off before its index.
    """
    file = WatchedFile(_open_file(path), path.suffix)
    try:
        structure = examine(file)
        _refuse_encrypted(path, structure)
        container = _open_container(path, file, structure)
        try:
            return AudioInput(file, container, _find_stream(path, container, track), structure)
        except BaseException:
            container.close()
            raise
    except BaseException:
        file.close()
        raise


def _open_file(path: Path) -> BinaryIO:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would block
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise UnreadableInputError(f"{path} is {kind}. Pass an audio file.")
        if status.st_size == 0:
            raise EmptyInputError(f"{path} is empty. Copy or download it again.")
        return path.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise UnreadableInputError(f"{path} does not exist. Check the path.") from error
    except PermissionError as error:
        raise UnreadableInputError(
            f"{path} may not be read by this user. Change its permissions, or those of its directories."
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        raise UnreadableInputError(f"{path} cannot be opened: {error}.") from error


def _refuse_encrypted(path: Path, structure: Structure) -> None:
    if structure.encrypted:
        raise EncryptedInputError(
            f"{path} is protected by DRM and cannot be decoded. Use a copy without protection."
        )


def _open_container(path: Path, file: WatchedFile, structure: Structure) -> InputContainer:
    options = {"format_whitelist": DEMUXERS, "protocol_whitelist": "", "err_detect": "crccheck"}
    try:
        # FFmpeg does not see the path, which it might read as a URL, and `io_open` refuses every
        # other file that the container refers to.
        container = av.open(
            file,
            mode="r",
            container_options=options,
            metadata_errors="replace",
            buffer_size=_READ_SIZE,
            io_open=_refuse,
        )
    except (av.FFmpegError, ValueError, PermissionError) as error:
        if file.error:
            raise unreadable(path, file.error) from error
        if structure.is_known_audio:
            raise TruncatedInputError(
                f"{path} is cut off and nothing of it can be read. Copy or download it again."
            ) from error
        raise NotAudioError(
            f"{path} is not in a known audio format. Convert it to WAV, FLAC, MP3, M4A, OGG, Opus or WMA."
        ) from error
    return container


def unreadable(path: Path, error: OSError) -> UnreadableInputError:
    """Return the error to raise for an I/O error."""
    return UnreadableInputError(
        f"{path} cannot be read: {error.strerror}. Check the disk or network that holds it."
    )


def _refuse(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    raise PermissionError(f"The media file refers to {url!r}, which may not be opened.")


def _find_stream(path: Path, container: InputContainer, track: str | None) -> AudioStream:
    stream = tracks.choose(path, container, track)
    for other in container.streams:
        if other.index != stream.index:
            other.discard = av.stream.Discard.all
    return stream
