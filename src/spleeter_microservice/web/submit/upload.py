"""Uploads: songs sent in a form, fetched from a URL, or sent before in parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Collection
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit
from uuid import UUID

from fastapi import Request
from python_multipart.multipart import parse_options_header

from spleeter_microservice import errors
from spleeter_microservice.access.shares import Share
from spleeter_microservice.audio.containers import ending_of, endings_of_format
from spleeter_microservice.audit.record import Action
from spleeter_microservice.models.example import find_example
from spleeter_microservice.outgoing.client import Download, ResponseLimits
from spleeter_microservice.storage.bucket_urls import is_bucket_url
from spleeter_microservice.storage.buckets import BucketObject
from spleeter_microservice.storage.streams import file_blocks
from spleeter_microservice.web.audit import record
from spleeter_microservice.web.disconnection import while_connected
from spleeter_microservice.web.services import ApiConfig, Services
from spleeter_microservice.web.submit.bodies import from_form, from_json
from spleeter_microservice.web.submit.file_name import best_name, displayed_name
from spleeter_microservice.web.submit.multipart import Write, read_form
from spleeter_microservice.web.submit.options import SubmissionForm
from spleeter_microservice.web.submit.spool import SpooledFile
from spleeter_microservice.web.uploads.headers import file_name

FILE_FIELD = "file"
_LONGEST_FETCH = 600.0  # seconds


@dataclass
class Upload:
    """An upload in progress.

    Attributes:
        request: request that contains the song or its URL.
        services: services of the application.
        file: file that the song is written to.
        name: file name that the client sent, for display.
        form: options of a song that is not sent along, once they are known.
    """

    request: Request
    services: Services
    file: SpooledFile
    name: str = field(default="", init=False)
    form: SubmissionForm | None = field(default=None, init=False)

    async def receive(self) -> SubmissionForm:
        """Receive the song and its options.

        Raises:
            RequestError: if the request is wrong.
            OutgoingError: if the URL is forbidden or cannot be fetched.
            EmptyInputError: if the song is empty.
            UnknownUploadError, UnknownJobError: if the tenant has no such resumable upload or separation.
            DiskFullError: if the disk is full.
        """
        content_type = self.request.headers.get("Content-Type", "")
        kind = content_type.partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            form = await self._receive_form(content_type)
        elif kind == "application/json":
            form = await self._fetch()
        else:
            raise errors.UnsupportedTypeError(
                "Send the song in a multipart/form-data body, or its URL in application/json."
            )
        await self.file.finish()
        if self.file.size == 0:
            raise errors.EmptyInputError("The file is empty.")
        return form

    async def _receive_form(self, content_type: str) -> SubmissionForm:
        fields = await read_form(self.request.stream(), content_type, FILE_FIELD, self._accept)
        form = from_form(fields)
        self._check(form)
        return form

    def _accept(self, name: str) -> Write:
        self.name = checked_name(name, self.services.config)
        return self.file.write

    async def _fetch(self) -> SubmissionForm:
        form = self.form = from_json(await self.request.body())
        if form.source_url is None:
            self._check(form)
            await while_connected(self.request, self._copy(form))
            return form
        services, url = self.services, form.source_url
        source = services.buckets.find(self._tenant, url) if is_bucket_url(url) else None
        if source is None and services.outgoing is None:
            raise errors.InvalidFieldsError(
                {"source_url": "This service does not fetch songs from URLs. Send the file in a form."}
            )
        self._check(form)
        with services.shares.hold(Share.FETCHES, self._tenant):
            await while_connected(self.request, self._read(source) if source else self._download(url))
        await record(self.request, Action.SOURCE_FETCHED, url=url, bytes=self.file.size)
        return form

    @property
    def _tenant(self) -> str:
        tenant: str = self.request.state.principal.tenant
        return tenant

    def _check(self, form: SubmissionForm) -> None:
        form.check(self.services.config, self.services.url_policy, self.services.buckets, self._tenant)

    async def _copy(self, form: SubmissionForm) -> None:
        """Copy a song that the service has: an upload, that of another separation, or the example."""
        services = self.services
        blocks: AsyncIterable[bytes]
        if form.upload is not None:
            upload = await services.uploads.get(self._tenant, UUID(form.upload))
            if upload.received < upload.length:
                reason = f"The upload is not complete: {upload.received} of {upload.length} bytes are stored."
                raise errors.InvalidFieldsError({"upload": reason})
            name, blocks = file_name(upload.metadata), services.uploads.read(upload)
        elif form.separation is not None:
            job = await services.repository.get(self._tenant, UUID(form.separation))
            name, blocks = job.input_name, await services.storage.get(job.input_key)
        else:
            example = find_example(services.config.models)
            if example is None:
                reason = (
                    "This service has no example song. Its operator can install one: "
                    "spleeter-microservice models pull 2stems"
                )
                raise errors.InvalidFieldsError({"example": reason})
            name, blocks = example.name, file_blocks(example)
        write = self._accept(name)
        async for block in blocks:
            await write(block)

    async def _read(self, source: BucketObject) -> None:
        write = self._accept(source.name)
        try:
            async with asyncio.timeout(_LONGEST_FETCH):
                async for chunk in source.chunks(self.services.config.max_file_bytes):
                    await write(chunk)
        except TimeoutError as error:
            raise errors.BucketError(f"Fetching took longer than {_LONGEST_FETCH:g} s.") from error

    async def _download(self, url: str) -> None:
        outgoing = self.services.outgoing
        assert outgoing is not None
        limits = ResponseLimits(self.services.config.max_file_bytes, total=_LONGEST_FETCH)
        async with outgoing.download(url, limits) as download:
            write = self._accept(_name_of(download))
            async for chunk in download.chunks():
                await write(chunk)


def _name_of(download: Download) -> str:
    """Return the name that the server gives a file, or the last part of its URL."""
    plain = parse_options_header(download.disposition)[1].get(b"filename")
    named = best_name(download.disposition, plain)
    return named or PurePosixPath(unquote(urlsplit(download.url).path)).name


def checked_name(name: str, config: ApiConfig) -> str:
    """Return a file's name for display.

    Raises:
        UnsupportedTypeError: if the operator does not allow its ending.
    """
    name = displayed_name(name)
    if ending := ending_of(name):
        _check_ending({ending}, config)
    return name


def check_content(name: str, container: str, config: ApiConfig) -> None:
    """Check what a file is if its name does not say so.

    Args:
        name: name of the file.
        container: container format that was found in it.
        config: configuration of the API.

    Raises:
        UnsupportedTypeError: if the operator does not allow files of this format.
    """
    if not ending_of(name):
        _check_ending(endings_of_format(container), config)


def _check_ending(endings: Collection[str], config: ApiConfig) -> None:
    if config.allowed_extensions and config.allowed_extensions.isdisjoint(endings):
        allowed = ", ".join(sorted(config.allowed_extensions))
        raise errors.UnsupportedTypeError(
            f"Files of the type {' or '.join(sorted(endings))} are not accepted. Send one of: {allowed}."
        )
