"""Responses with results: a stem or a part of it, an archive of all stems, peaks, or previews."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Collection, Mapping

from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from spleeter_microservice import errors
from spleeter_microservice.audit.record import Action
from spleeter_microservice.jobs.job import Job, Result, State, StoredStem
from spleeter_microservice.separation.file_names import attachment, safe_name, stem_file, stem_name, title
from spleeter_microservice.storage.store import ObjectStream, Storage
from spleeter_microservice.web.audit import record
from spleeter_microservice.web.downloads.conditional import is_known, requested_part
from spleeter_microservice.web.downloads.zip_stream import Member, ZipStream

# A slow client holds one block in memory, and little more than a piece in the server's buffer.
_BLOCK_BYTES = 1 << 20
_PIECE_BYTES = 1 << 16

PLAIN_BYTES = "application/octet-stream"
"""Media type of files for clients that ask for it; generated ones may know no media types of sound."""

# Browsers may cache a file but must revalidate it, since it may have been erased.
_CACHING = {"Cache-Control": "private, no-cache"}


async def stem_response(storage: Storage, request: Request, job: Job, name: str) -> Response:
    """Return a response with a stem.

    Raises:
        NotReadyError: if the job has no stems, yet or at all.
        NoSuchStemError: if it has no stem of this name.
        UnsatisfiableRangeError: if the requested range lies beyond the end.
        StorageError, AuditUnwritableError: before anything is sent.
    """
    stem = stem_of(result_of(job), name)
    etag = f'"{stem.sha256}"'
    headers = _CACHING | {"ETag": etag, "Accept-Ranges": "bytes"}
    if _is_known(request, etag):
        return Response(status_code=304, headers=headers)
    headers["Content-Disposition"] = attachment(stem_name(job.input_name, stem.name, stem.key))
    stream = await storage.get(stem.key, block_bytes=_BLOCK_BYTES)
    response = await _ranged(request, stream, headers, stem.media_type)
    if request.method != "HEAD" and stream.start == 0:  # otherwise it continues a download that was recorded
        await record(request, Action.RESULT_DOWNLOADED, job=job.id, stem=stem.name)
    return response


def _is_known(request: Request, etag: str) -> bool:
    return request.method in ("GET", "HEAD") and is_known(request.headers.get("If-None-Match"), etag)


async def _ranged(
    request: Request, stream: ObjectStream, headers: Mapping[str, str], media_type: str
) -> Response:
    """Return a response with a file, or with the part of it that is requested."""
    size, status, headers = stream.info.size, 200, {**headers}
    asked = (request.headers.get("Range"), request.headers.get("If-Range"), headers["ETag"], size)
    part = requested_part(*asked) if request.method == "GET" else None  # ranges apply to GET only
    if part is not None:
        if not part:
            raise errors.UnsatisfiableRangeError(
                f"The range lies beyond the end of the file, which has {size} bytes. Request less, or all of "
                "it.",
                size,
            )
        stream.start, stream.stop, status = part.start, part.stop, 206
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    headers["Content-Length"] = str(stream.stop - stream.start)
    media_type = _media_type(request, media_type)
    if request.method == "HEAD":
        return Response(headers=headers, media_type=media_type)
    return StreamingResponse(_in_pieces(await _started(stream)), status, headers, media_type)


def _media_type(request: Request, precise: str) -> str:
    return PLAIN_BYTES if request.headers.get("Accept") == PLAIN_BYTES else precise


async def _started(stream: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """Read the first block of a stream, so that errors show before the response starts."""
    blocks = aiter(stream)
    first = [await anext(blocks, b"")]

    async def everything() -> AsyncIterator[bytes]:
        yield first.pop()  # without keeping a reference
        async for block in blocks:
            yield block

    return everything()


async def _in_pieces(blocks: AsyncIterable[bytes]) -> AsyncIterator[memoryview]:
    async for block in blocks:
        for start in range(0, len(block), _PIECE_BYTES):
            yield memoryview(block)[start : start + _PIECE_BYTES]


async def archive_response(storage: Storage, request: Request, job: Job) -> Response:
    """Return a response with an archive of all stems.

    Raises:
        NotReadyError: if the job has no stems, yet or at all.
        StorageError, AuditUnwritableError: before anything is sent.
    """
    result = result_of(job)
    etag = _archive_tag(job, result)
    headers = _CACHING | {"ETag": etag, "Accept-Ranges": "none"}
    if _is_known(request, etag):
        return Response(status_code=304, headers=headers)
    members = [await _member(storage, title(job.input_name), stem) for stem in result.stems]
    archive = ZipStream(members, job.finished_at or job.created_at)
    headers["Content-Disposition"] = attachment(f"{title(job.input_name)}.zip")
    headers["Content-Length"] = str(archive.size)
    media_type = _media_type(request, "application/zip")
    if request.method == "HEAD":
        return Response(headers=headers, media_type=media_type)
    await record(request, Action.RESULT_DOWNLOADED, job=job.id, stem="all")
    return StreamingResponse(_in_pieces(archive), headers=headers, media_type=media_type)


def _archive_tag(job: Job, result: Result) -> str:
    deciding = [job.input_name, job.finished_at, [(stem.key, stem.sha256) for stem in result.stems]]
    return f'"{hashlib.sha256(repr(deciding).encode()).hexdigest()}"'


async def _member(storage: Storage, folder: str, stem: StoredStem) -> Member:
    """Describe a stem as a member of an archive; its object must exist."""
    stream = await storage.get(stem.key, block_bytes=_BLOCK_BYTES)
    crc32 = stem.crc32
    if crc32 is None:
        crc32 = 0
        async for block in stream:
            crc32 = zlib.crc32(block, crc32)
    return Member(f"{folder}/{stem_file(stem.name, stem.key)}", stream.info.size, crc32, lambda: stream)


async def peaks_response(storage: Storage, request: Request, job: Job, name: str) -> Response:
    """Return a response with a stem's peaks.

    Raises:
        NotReadyError, NoSuchStemError, StorageError: as for ``stem_response``.
    """
    stem = stem_of(result_of(job), name)
    stream = await storage.get(f"{job.prefix}/peaks/{stem.name}.json")
    headers = _CACHING | {"ETag": stream.info.etag, "Accept-Ranges": "none"}
    if _is_known(request, stream.info.etag):
        return Response(status_code=304, headers=headers)
    content = b"".join([block async for block in stream])
    return Response(content, headers=headers, media_type="application/json")


async def preview_response(
    storage: Storage, request: Request, job: Job, name: str, segment: int | None = None
) -> Response:
    """Return a response with the preview of a stem, or with a segment of it.

    Raises:
        NotReadyError: if the separation has not come so far, or did not succeed.
        NoSuchStemError, NoPreviewError: if there is nothing of this name or number.
        UnsatisfiableRangeError: if the requested range lies beyond the end.
        StorageError: before anything is sent.
    """
    _check_preview(job, name, segment)
    stream = await storage.get(job.preview_key(name, segment), block_bytes=_BLOCK_BYTES)
    headers = _CACHING | {"ETag": stream.info.etag, "Accept-Ranges": "bytes"}
    if _is_known(request, stream.info.etag):
        return Response(status_code=304, headers=headers)
    return await _ranged(request, stream, headers, "audio/ogg")


def _check_preview(job: Job, name: str, segment: int | None) -> None:
    if segment is None or job.state.final:
        result_of(job)
    if job.preview is None and job.state.final:
        raise errors.NoPreviewError("The separation has no previews. Download its stems instead.")
    if job.preview is None:
        raise errors.NotReadyError(f"The separation is {job.state} and has no previews yet. Try again soon.")
    _check_name(name, job.preview.outputs)
    if segment is not None and segment >= job.preview.segments:
        reach = f"The previews reach {job.preview.seconds:g} s, up to segment {job.preview.segments - 1}."
        if job.state.final:
            raise errors.NoPreviewError(f"Segment {segment} does not exist. {reach}")
        raise errors.NotReadyError(f"Segment {segment} does not exist yet. {reach} Try again soon.")


def result_of(job: Job) -> Result:
    """Return the result of a job.

    Raises:
        NotReadyError: if it has none, yet or at all.
    """
    if job.result is not None:
        return job.result
    if not job.state.final:
        raise errors.NotReadyError(
            f"The separation is {job.state}, at {job.progress:.0%}. Wait until it has succeeded."
        )
    if job.state is State.FAILED:
        raise errors.NotReadyError(f"The separation failed, so there are no stems: {job.error_message}")
    raise errors.NotReadyError("The separation was cancelled, so there are no stems.")


def stem_of(result: Result, name: str) -> StoredStem:
    """Return a stem by its name.

    Raises:
        NoSuchStemError: if no stem has this name.
    """
    stems = {stem.name: stem for stem in result.stems}
    _check_name(name, stems)
    return stems[name]


def _check_name(name: str, names: Collection[str]) -> None:
    if name not in names:
        raise errors.NoSuchStemError(
            f"The separation has no stem {safe_name(name)!r}. It has {', '.join(names)}."
        )
