"""Tags of audio files as another program, mutagen, reads and writes them."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mutagen
from mutagen import id3
from mutagen.asf import ASF, ASFByteArrayAttribute
from mutagen.flac import FLAC, Picture
from mutagen.mp4 import MP4, AtomDataType, MP4Cover, MP4FreeForm

SONG = {
    "title": "Söng", "artist": "Ärtist", "album_artist": "Various", "album": "歌", "track": "3/12",
    "disc": "1/2", "date": "2021-03-04", "genre": "House", "composer": "Someone", "bpm": "127", "key": "8A",
}  # fmt: skip
"""Every tag that stems may have."""

_ID3 = {
    "title": "TIT2", "artist": "TPE1", "album_artist": "TPE2", "album": "TALB", "track": "TRCK",
    "disc": "TPOS", "date": "TDRC", "genre": "TCON", "composer": "TCOM", "bpm": "TBPM", "key": "TKEY",
}  # fmt: skip
_VORBIS = {name: name for name in SONG} | {
    "album_artist": "albumartist", "track": "tracknumber", "disc": "discnumber", "key": "initialkey",
}  # fmt: skip
_MP4 = {
    "title": "\xa9nam", "artist": "\xa9ART", "album_artist": "aART", "album": "\xa9alb", "track": "trkn",
    "disc": "disk", "date": "\xa9day", "genre": "\xa9gen", "composer": "\xa9wrt", "bpm": "tmpo",
    "key": "----:com.apple.iTunes:initialkey",
}  # fmt: skip
_ASF = {
    "title": "Title", "artist": "Author", "album_artist": "WM/AlbumArtist", "album": "WM/AlbumTitle",
    "track": "WM/TrackNumber", "disc": "WM/PartOfSet", "date": "WM/Year", "genre": "WM/Genre",
    "composer": "WM/Composer", "bpm": "WM/BeatsPerMinute", "key": "WM/InitialKey",
}  # fmt: skip
_OF_THE_FORMAT = {
    "encoder", "tsse", "\xa9too", "wm/encodingsettings", "covr", "metadata_block_picture", "wm/picture",
}  # fmt: skip


def png(width: int = 4, height: int = 3, padding: int = 0) -> bytes:
    """Return a small picture, with as many bytes more as wanted."""
    rows = b"".join(b"\0" + bytes([200, 30, 60] * width) for _ in range(height))
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"tEXt", b"a\0" + b"b" * padding),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def jpeg(width: int = 4, height: int = 3) -> bytes:
    """Return the head of a JPEG, with a thumbnail of another size in a segment before it."""
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\1\x11\0"
    thumbnail = b"\xff\xd8\xff\xc0\0\x0b\x08\0\1\0\1\1\1\x11\0\xff\xd9"
    return b"\xff\xd8\xff\xe1" + struct.pack(">H", 2 + len(thumbnail)) + thumbnail + frame + b"\xff\xd9"


def put(
    path: Path, texts: Mapping[str, str], *pictures: bytes, others: Mapping[str, str] | None = None
) -> Path:
    """Write tags into a file.

    Args:
        path: the file.
        texts: texts by the names in ``SONG``.
        pictures: the cover and other pictures, all of which claim to be JPEGs or PNGs.
        others: texts by the format's own names.
    """
    file: Any = mutagen.File(path)
    if file.tags is None:
        file.add_tags()
    if isinstance(file.tags, id3.ID3):
        _put_id3(file.tags, texts, pictures, others or {})
    elif isinstance(file, MP4):
        _put_mp4(file, texts, pictures, others or {})
    else:
        names = _ASF if isinstance(file, ASF) else _VORBIS
        file.update({names[name]: text for name, text in texts.items()} | dict(others or {}))
        _put_pictures(file, pictures)
    file.save()
    return path


def _put_id3(
    tags: Any, texts: Mapping[str, str], pictures: Sequence[bytes], others: Mapping[str, str]
) -> None:
    for name, text in texts.items():
        tags.add(getattr(id3, _ID3[name])(encoding=3, text=[text]))
    for name, text in others.items():
        tags.add(id3.TXXX(encoding=3, desc=name, text=[text]))
    for number, data in enumerate(pictures):
        tags.add(id3.APIC(3, "image/jpeg", 0 if number else 3, f"{number}", data))


def _put_mp4(
    file: Any, texts: Mapping[str, str], pictures: Sequence[bytes], others: Mapping[str, str]
) -> None:
    for name, text in texts.items():
        value: Any = text
        if name in {"track", "disc"}:
            value = [tuple(map(int, text.split("/")))]
        elif name == "bpm":
            value = [int(text)]
        elif name == "key":
            value = [MP4FreeForm(text.encode(), AtomDataType.UTF8)]
        file[_MP4[name]] = value
    for name, text in others.items():
        file[name] = [MP4FreeForm(text.encode(), AtomDataType.UTF8)]
    if pictures:
        file["covr"] = [MP4Cover(data, MP4Cover.FORMAT_PNG) for data in pictures]


def _put_pictures(file: Any, pictures: Sequence[bytes]) -> None:
    blocks = []
    for number, data in enumerate(pictures):
        blocks.append(Picture())
        blocks[-1].type, blocks[-1].mime, blocks[-1].data = 0 if number else 3, "image/jpeg", data
    if isinstance(file, FLAC):
        for block in blocks:
            file.add_picture(block)
    elif isinstance(file, ASF):
        media_type = "image/png\0\0".encode("utf-16-le")
        values = [struct.pack("<BI", each.type, len(each.data)) + media_type + each.data for each in blocks]
        file["WM/Picture"] = [ASFByteArrayAttribute(value) for value in values]
    elif blocks:
        file["metadata_block_picture"] = [base64.b64encode(block.write()).decode() for block in blocks]


def seen(path: Path) -> dict[str, Any]:
    """Return the tags of a file by the names in ``SONG``.

    Under "cover" is the cover (its bytes, its media type and the number of its kind) or None, and under
    "others" are the format's own names of any other tags.
    """
    file: Any = mutagen.File(path)
    tags = file.tags or {}
    if isinstance(tags, id3.ID3):
        names, covers = _ID3, [(each.data, each.mime, each.type) for each in tags.getall("APIC")]
    elif isinstance(file, MP4):
        kinds = {MP4Cover.FORMAT_PNG: "image/png", MP4Cover.FORMAT_JPEG: "image/jpeg"}
        names, covers = _MP4, [(bytes(each), kinds[each.imageformat], 3) for each in tags.get("covr", [])]
    elif isinstance(file, ASF):
        names, covers = _ASF, [_picture_of_asf(each.value) for each in tags.get("WM/Picture", [])]
    else:
        texts = tags.get("metadata_block_picture", [])
        blocks = (
            file.pictures if isinstance(file, FLAC) else [Picture(base64.b64decode(text)) for text in texts]
        )
        names, covers = _VORBIS, [(each.data, each.mime, each.type) for each in blocks]
        assert all((each.width, each.height) == (4, 3) for each in blocks)
    found: dict[str, Any] = {name: _text(tags[own]) for name, own in names.items() if own in tags}
    others = {key.lower() for key in dict(tags)} - {own.lower() for own in names.values()} - _OF_THE_FORMAT
    return found | {
        "cover": covers[0] if covers else None,
        "others": sorted(key for key in others if not key.startswith("apic")),
    }


def _picture_of_asf(value: bytes) -> tuple[bytes, str, int]:
    kind, size = struct.unpack_from("<BI", value)
    media_type = value[5:].decode("utf-16-le", "replace").split("\0")[0]
    start = 5 + 2 * len(media_type) + 4  # two zeros, of which the second ends an empty description
    return value[start : start + size], media_type, kind


def _text(value: Any) -> str:
    first = value[0] if isinstance(value, list) else value
    if isinstance(first, tuple):
        return "/".join(map(str, first))
    return first.decode() if isinstance(first, bytes) else str(first)
