"""Multipart forms, read as the service reads them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

from spleeter_microservice.web.submit.multipart import Write, read_form


def read(chunks: Iterable[bytes], content_type: str) -> tuple[list[tuple[str, str]], bytes, str]:
    """Return the fields of a form that arrives in chunks, the content of its file, and the file's name."""
    content, names = bytearray(), []

    async def write(data: bytes) -> None:
        content.extend(data)

    def accept(name: str) -> Write:
        names.append(name)
        return write

    async def arriving() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    fields = asyncio.run(read_form(arriving(), content_type, "file", accept))
    return fields, bytes(content), names[0]
