"""Writing of tags: by FFmpeg where it can, and into the finished file where it cannot."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from typing import Literal

import av
from av.container import OutputContainer
from av.stream import Disposition

from spleeter_microservice.audio.mp4 import EditableFile, append_boxes, box
from spleeter_microservice.audio.output_format import OutputFormat
from spleeter_microservice.audio.stem_mp4 import manifest
from spleeter_microservice.audio.tags import FRONT, TEXTS_OF_MP4, Cover, Tags, too_large

_ID3 = {"bpm": "TBPM", "key": "TKEY"}
_VORBIS = {"bpm": "BPM", "key": "INITIALKEY"}
_NAMES: Mapping[str, Mapping[str, str]] = {
    "mp3": _ID3,
    "flac": _VORBIS,
    "ogg": _VORBIS,
    "opus": _VORBIS,
    "asf": {"date": "WM/Year", "bpm": "WM/BeatsPerMinute", "key": "WM/InitialKey"},
    "ipod": {"bpm": "tmpo"},
}
"""What each muxer calls the tags that FFmpeg has no name for."""

_LARGEST_RIFF = (1 << 32) - 1
_LARGEST_IN_ASF = 65_000  # bytes of a cover; the length of a value has 16 bits
_HEAD_OF_ASF = 1 << 17  # bytes that hold all texts


def why_no_cover(tags: Tags, muxer: str) -> str:
    """Return why files have no cover although the song has a picture, or an empty text."""
    if tags.cover and muxer == "asf" and len(tags.cover.data) > _LARGEST_IN_ASF:
        return too_large(len(tags.cover.data), _LARGEST_IN_ASF)
    return tags.no_cover


def add_to_header(container: OutputContainer, muxer: str, tags: Tags) -> None:
    """Add what FFmpeg can write to a container that has its stream, but no packet yet."""
    names = _NAMES.get(muxer, {})
    texts = {names.get(name, name): text for name, text in tags.texts.items()}
    if "tmpo" in texts:
        texts["tmpo"] = str(round(float(texts["tmpo"])))  # a whole number in MP4
    container.metadata.update(texts)
    cover = tags.cover
    if cover and muxer in {"ogg", "opus"}:
        container.metadata["METADATA_BLOCK_PICTURE"] = cover.comment()
    elif cover and muxer == "asf" and len(cover.data) <= _LARGEST_IN_ASF:
        container.metadata["WM/Picture"] = "-" * (len(_picture_of_asf(cover)) // 2 - 1)  # takes its place
    elif cover and muxer in {"mp3", "flac"}:
        codec = "png" if cover.is_png else "mjpeg"
        stream = container.add_mux_stream(codec, width=cover.width, height=cover.height)
        stream.disposition = Disposition.attached_pic
        stream.metadata["comment"] = "Cover (front)"  # by which FFmpeg knows the kind of a picture
        packet = av.Packet(cover.data)
        packet.stream, packet.pts, packet.dts = stream, 0, 0
        container.mux(packet)


def add_to_file(file: EditableFile, output_format: OutputFormat, tags: Tags | None) -> None:
    """Add what FFmpeg cannot write to a finished file: tags, and the manifest of a file of all stems.

    Raises:
        OSError: if the file cannot be read or written.
    """
    if tags:
        _add_tags(file, output_format.encoder.muxer, tags)
    if stems := output_format.kind.tracks:
        append_boxes(file, (b"moov", b"udta"), box(b"stem", manifest(stems)))


def _add_tags(file: EditableFile, muxer: str, tags: Tags) -> None:
    if muxer in {"wav", "aiff"}:
        _append_chunk(file, _id3(tags))
    elif muxer == "ipod":
        boxes = _key(tags.texts["key"]) if "key" in tags.texts else b""
        boxes += _cover(tags.cover) if tags.cover else b""
        append_boxes(file, TEXTS_OF_MP4, boxes)  # FFmpeg always writes some
    elif muxer == "asf" and tags.cover and len(tags.cover.data) <= _LARGEST_IN_ASF:
        _replace_text_of_asf(file, _picture_of_asf(tags.cover))


def _id3(tags: Tags) -> bytes:
    """Return an ID3 tag: an MP3 file of nothing else."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp3", container_options={"write_xing": "0"}) as container:
        container.add_stream("libmp3lame", rate=44100).codec_context.open()
        add_to_header(container, "mp3", tags)
        container.start_encoding()
    return file.getvalue()


def _append_chunk(file: EditableFile, data: bytes) -> None:
    """Append an ID3 tag to a WAV or AIFF file, unless its header cannot state the size."""
    file.seek(0)
    kind = file.read(4)
    order: Literal["big", "little"] = "big" if kind == b"FORM" else "little"
    name = b"ID3 " if kind == b"FORM" else b"id3 "
    chunk = name + len(data).to_bytes(4, order) + data + bytes(len(data) % 2)
    size = file.seek(0, os.SEEK_END) + len(chunk) - 8
    if kind != b"RF64" and size > _LARGEST_RIFF:
        return
    file.write(chunk)
    file.seek(20 if kind == b"RF64" else 4)  # the size has 64 bits and its own chunk in RF64
    file.write(size.to_bytes(8 if kind == b"RF64" else 4, order))


def _picture_of_asf(cover: Cover) -> bytes:
    """Return a cover as a value of ASF, of an even number of bytes."""
    size, kind = len(cover.data).to_bytes(4, "little"), f"{cover.media_type}\0".encode("utf-16-le")
    value = bytes([FRONT]) + size + kind + bytes(2) + cover.data
    return value + bytes(len(value) % 2)


def _replace_text_of_asf(file: EditableFile, picture: bytes) -> None:
    """Write a picture over the text of its length: FFmpeg writes texts alone."""
    name, size = "WM/Picture\0".encode("utf-16-le"), len(picture).to_bytes(2, "little")
    file.seek(0)
    place = file.read(_HEAD_OF_ASF).index(name + bytes(2) + size)
    file.seek(place + len(name))
    file.write(b"\1\0" + size + picture)  # 1 is the type of bytes


def _key(text: str) -> bytes:
    """Return the tag of a musical key, for which MP4 has no name of its own."""
    names = box(b"mean", bytes(4) + b"com.apple.iTunes") + box(b"name", bytes(4) + b"initialkey")
    return box(b"----", names + _data(1, text.encode()))


def _cover(cover: Cover) -> bytes:
    return box(b"covr", _data(14 if cover.is_png else 13, cover.data))


def _data(kind: int, content: bytes) -> bytes:
    return box(b"data", kind.to_bytes(4, "big") + bytes(4) + content)
