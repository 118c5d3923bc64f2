"""Tags of a song, such as its title and its cover, which its stems get too."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice

from av.container import InputContainer
from av.stream import Disposition

from spleeter_microservice.audio.mp4 import find_boxes
from spleeter_microservice.audio.parts import SeekableFile

LARGEST_COVER = 2 << 20
"""Bytes; larger covers are left out."""

FRONT = 3
"""Number of this kind of picture in ID3, FLAC and ASF."""

TEXTS_OF_MP4 = (b"moov", b"udta", b"meta", b"ilst")
"""Path of the box with an MP4's tags."""

_LONGEST_TEXT = 500  # characters
_MOST_PICTURES = 8
_MOST_SEGMENTS = 200  # of a JPEG, before its size

# Anything else would be wrong for stems: loudness (ReplayGain, R128, Sound Check), identifiers and
# fingerprints of the recording, lyrics, and the remarks of other programs.
_NAMES = ("title", "artist", "album_artist", "album", "track", "disc", "date", "genre", "composer")
_SPELLINGS = {
    **{name: name for name in _NAMES},
    **dict.fromkeys(("album artist", "albumartist"), "album_artist"),
    **dict.fromkeys(("year", "wm/year"), "date"),
    **dict.fromkeys(("bpm", "tbpm", "tempo", "tmpo", "wm/beatsperminute"), "bpm"),
    **dict.fromkeys(("key", "tkey", "initialkey", "initial_key", "initial key", "wm/initialkey"), "key"),
}
"""Names of tags by their spellings in lower case; FFmpeg translates most to its own."""

_BPM = re.compile(r"\d{1,3}(\.\d{1,6})?", re.ASCII)
_CONTROL = re.compile(r"[\0-\x1f\x7f-\x9f\u2028\u2029]+")
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of the segments that state the size


@dataclass(frozen=True)
class Cover:
    """A JPEG or PNG of an album's front."""

    data: bytes
    width: int
    height: int

    @property
    def is_png(self) -> bool:
        """Whether it is a PNG, otherwise it is a JPEG."""
        return self.data.startswith(_PNG)

    @property
    def media_type(self) -> str:
        """Its media type."""
        return "image/png" if self.is_png else "image/jpeg"

    def comment(self) -> str:
        """Return the cover as Ogg has it in a comment: FLAC's picture block in base64."""
        kind = self.media_type.encode()
        head = struct.pack(f">II{len(kind)}sI", FRONT, len(kind), kind, 0)  # without a description
        size = struct.pack(">5I", self.width, self.height, 24, 0, len(self.data))
        return base64.b64encode(head + size + self.data).decode()


@dataclass(frozen=True)
class Tags:
    """The tags of a song or of a file made of it.

    Attributes:
        texts: texts by their names: those of FFmpeg, ``bpm`` and ``key``.
        cover: the cover, if there is one.
        no_cover: why there is none although the song has a picture, or an empty text.
    """

    texts: Mapping[str, str]
    cover: Cover | None = None
    no_cover: str = ""

    def of_output(self, name: str) -> Tags:
        """Return the tags of a stem or mix, whose title ends with its name."""
        title = self.texts.get("title")
        return replace(self, texts={**self.texts, "title": f"{title} ({name})"}) if title else self


def read_tags(container: InputContainer, file: SeekableFile) -> Tags | None:
    """Return the tags of a file, or None if it has none that stems may have.

    Args:
        container: the file, just opened. Bytes of its texts that are not UTF-8 are surrogates.
        file: the same file.
    """
    found = dict(container.metadata)
    if container.format.name == "ogg":
        found |= container.streams.audio[0].metadata
    elif "mp4" in container.format.name:
        found["tmpo"] = _tempo_of_mp4(file)
    texts: dict[str, str] = {}
    for spelling, value in found.items():
        name, text = _SPELLINGS.get(spelling.lower()), _in_one_line(value)
        if name and text and (name != "bpm" or _BPM.fullmatch(text)):
            texts.setdefault(name, text)
    cover, no_cover = _cover(container)
    return Tags(texts, cover, no_cover) if texts or cover or no_cover else None


def _tempo_of_mp4(file: SeekableFile) -> str:
    """Return the tempo, which FFmpeg writes but does not read, or an empty text."""
    path = (*TEXTS_OF_MP4, b"tmpo", b"data")
    boxes = find_boxes(file, path)
    if len(boxes) < len(path):
        return ""
    file.seek(boxes[-1][0] + 8)  # after its type and its language
    return str(int.from_bytes(file.read(2), "big") or "")


def _in_one_line(value: str) -> str:
    data = value[:_LONGEST_TEXT].encode("utf-8", "surrogateescape")
    try:
        text = data.decode()
    except UnicodeDecodeError:  # old WAV files have the code page of Windows
        text = data.decode("cp1252", "replace")
    return _CONTROL.sub(" ", text).strip()


def _cover(container: InputContainer) -> tuple[Cover | None, str]:
    """Return the front among the pictures of a file, or the first of the others, or why none is taken."""
    covers: list[Cover] = []
    no_cover = ""
    for stream in container.streams:
        stream.discard = type(stream.discard).default
    # FFmpeg has them ready before the sound.
    for packet in islice(container.demux(), _MOST_PICTURES):
        if not packet.stream.disposition & Disposition.attached_pic:
            break
        if packet.size > LARGEST_COVER:
            no_cover = too_large(packet.size, LARGEST_COVER)
            continue
        data = bytes(packet)
        width, height = picture_size(data)
        if not (width and height):
            no_cover = "it is neither a JPEG nor a PNG"
        else:
            front = packet.stream.metadata.get("comment") == "Cover (front)"
            covers.insert(0 if front else len(covers), Cover(data, width, height))
    return (covers[0], "") if covers else (None, no_cover)


def too_large(size: int, most: int) -> str:
    """Return why a cover with so many bytes is left out."""
    return f"it has {size} bytes, and only {most} are allowed"


def picture_size(data: bytes) -> tuple[int, int]:
    """Return the width and the height that a JPEG or PNG states, or zeros if it states none."""
    if data.startswith(_PNG) and len(data) > 24:
        width, height = struct.unpack_from(">II", data, 16)
        return width, height
    position = 2
    for _ in range(_MOST_SEGMENTS if data.startswith(_JPEG) else 0):
        if len(data) < position + 9:
            break
        marker, length = struct.unpack_from(">xBH", data, position)
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, position + 5)
            return width, height
        position += 2 + length
    return 0, 0
