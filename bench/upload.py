"""Uploads of silent WAV files of any size over a plain connection."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path

_BOUNDARY = "5c4f3e2d1b0a"
_BLOCK = 1 << 18
_FRAME_BYTES, _RATE = 4, 44100
HEADER_BYTES = 44


def write_silence(path: Path, size: int) -> Path:
    """Write a sparse WAV file of this many bytes, which takes almost no space on the disk."""
    data = size - HEADER_BYTES
    riff = struct.pack("<4sI4s", b"RIFF", data + 36, b"WAVE")
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 2, _RATE, _RATE * _FRAME_BYTES, _FRAME_BYTES, 16)
    with path.open("wb") as file:
        file.write(riff + form + struct.pack("<4sI", b"data", data))
        file.truncate(size)
    return path


async def send(port: int, key: str, song: Path) -> tuple[int, bytes]:
    """Submit a song block by block; return the status and the body of the response."""
    before = (
        f"--{_BOUNDARY}\r\nContent-Disposition: form-data; "
        f'name="file"; filename="{song.name}"\r\nContent-Type: audio/wav\r\n\r\n'
    ).encode()
    after = f"\r\n--{_BOUNDARY}--\r\n".encode()
    length = len(before) + song.stat().st_size + len(after)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"POST /v1/separations HTTP/1.1\r\nHost: localhost\r\nX-API-KEY: {key}\r\n"
        f"Content-Type: multipart/form-data; boundary={_BOUNDARY}\r\n"
        f"Content-Length: {length}\r\nConnection: close\r\n\r\n".encode()
    )
    writer.write(before)
    with song.open("rb") as file:
        while block := file.read(_BLOCK):
            writer.write(block)
            await writer.drain()
    writer.write(after)
    await writer.drain()
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head[9:12]), body
