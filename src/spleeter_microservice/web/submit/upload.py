"""How a song comes in: sent along in a form, or fetched from the address that JSON names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath, PureWindowsPath
from urllib.parse import unquote, urlsplit

from fastapi import Request

from spleeter_microservice.audit.record import Action
from spleeter_microservice.errors import EmptyInputError, InvalidFieldsError, UnsupportedTypeError
from spleeter_microservice.outgoing.client import ResponseLimits
from spleeter_microservice.web.audit import record
from spleeter_microservice.web.services import ApiConfig, Services
from spleeter_microservice.web.submit.multipart import Write, read_form
from spleeter_microservice.web.submit.options import SubmissionForm, from_form, from_json, printable
from spleeter_microservice.web.submit.spool import SpooledFile

FILE_FIELD = "file"
_MAXIMUM_NAME = 255  # characters


@dataclass
class Upload:
    """A song that is coming in.

    Attributes:
        request: that brings it.
        services: of the application.
        file: that takes it.
        name: that the client has for it.
    """

    request: Request
    services: Services
    file: SpooledFile
    name: str = field(default="", init=False)

    async def run(self) -> SubmissionForm:
        """Receive the song and what is to be done with it.

        Raises:
            RequestError: when something is wrong with either.
            OutgoingError: when the address is forbidden, or does not answer as it should.
            EmptyInputError: when the song has no bytes.
            DiskFullError: when there is no room for it.
        """
        content_type = self.request.headers.get("Content-Type", "")
        kind = content_type.partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            submission = await self._receive(content_type)
        elif kind == "application/json":
            submission = await self._fetch()
        else:
            raise UnsupportedTypeError(
                "Send the song in a multipart/form-data body, or its address in application/json."
            )
        await self.file.finish()
        if self.file.size == 0:
            raise EmptyInputError("The file is empty.")
        return submission

    async def _receive(self, content_type: str) -> SubmissionForm:
        fields = await read_form(self.request.stream(), content_type, FILE_FIELD, self._accept)
        submission = from_form(fields)
        self._check(submission)
        return submission

    def _accept(self, name: str) -> Write:
        self.name = checked_name(name, self.services.config)
        return self.file.write

    async def _fetch(self) -> SubmissionForm:
        submission = from_json(await self.request.body())
        outgoing, url = self.services.outgoing, submission.source_url
        if outgoing is None or url is None:
            raise InvalidFieldsError(
                {"source_url": "Songs are not fetched from addresses here. Send the file in a form."}
            )
        self._check(submission)
        async with outgoing.download(url, ResponseLimits(self.services.config.max_file_bytes)) as download:
            name = PurePosixPath(unquote(urlsplit(download.url).path)).name
            await self._copy(download.chunks(), self._accept(name))
        await record(self.request, Action.SOURCE_FETCHED, url=url, bytes=self.file.size)
        return submission

    def _check(self, submission: SubmissionForm) -> None:
        submission.check(self.services.config, self.services.guard)

    @staticmethod
    async def _copy(chunks: AsyncIterator[bytes], write: Write) -> None:
        async for chunk in chunks:
            await write(chunk)


def checked_name(name: str, config: ApiConfig) -> str:
    """Give a file's name without folders.

    Raises:
        InvalidFieldsError: when it cannot be a name.
        UnsupportedTypeError: when it does not end as the operator allows.
    """
    name = PureWindowsPath(name).name  # which takes both kinds of slash
    if len(name) > _MAXIMUM_NAME:
        raise InvalidFieldsError({FILE_FIELD: f"The file's name has more than {_MAXIMUM_NAME} characters."})
    try:
        printable(name)
    except ValueError as error:
        raise InvalidFieldsError({FILE_FIELD: f"{error} in the file's name."}) from error
    extension = name.rpartition(".")[2].lower() if "." in name else ""
    if extension not in config.allowed_extensions:
        allowed = ", ".join(sorted(config.allowed_extensions))
        raise UnsupportedTypeError(f"The file's name must end in one of: {allowed}.")
    return name
