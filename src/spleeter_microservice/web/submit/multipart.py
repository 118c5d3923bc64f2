"""Multipart forms (RFC 7578), parsed as they arrive; files are never held in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from spleeter_microservice.errors import InvalidFieldsError, MalformedRequestError
from spleeter_microservice.web.submit.file_name import best_name

MAXIMUM_PARTS = 64
MAXIMUM_FIELD_BYTES = 64 << 10
"""Maximum size of all fields together, without the file, in bytes."""

Write = Callable[[bytes], Awaitable[None]]
AcceptFile = Callable[[str], Write]
"""Takes the file name that the client sent; returns a function that takes the file's bytes."""


@dataclass(frozen=True)
class _Part:
    """The name of a part, and its file name if it is a file."""

    name: str
    filename: str | None


_Event = _Part | bytes
"""The start of a part, or bytes of its content."""


async def read_form(
    chunks: AsyncIterator[bytes], content_type: str, file_field: str, accept_file: AcceptFile
) -> list[tuple[str, str]]:
    """Read a form: pass on the bytes of its file, and return its other fields in order.

    Args:
        chunks: body as it arrives.
        content_type: value of the ``Content-Type`` header, with the boundary.
        file_field: name of the field that contains the file.
        accept_file: called at the start of the file; may refuse it.

    Raises:
        MalformedRequestError: if the body is not a form, or ends too early.
        InvalidFieldsError: if it has two files, a file in another field, or exceeds a limit.
    """
    form = _Form(file_field, accept_file)
    parser = _Parser(content_type)
    async for chunk in chunks:
        for event in parser.feed(chunk):
            await form.handle(event)
    if not parser.ended:
        raise MalformedRequestError("The form ends before its last boundary. Send all of it.")
    return form.fields()


class _Form:
    """Handler of a form's events."""

    def __init__(self, file_field: str, accept_file: AcceptFile) -> None:
        self._file_field = file_field
        self._accept_file = accept_file
        self._write: Write | None = None
        self._has_file = False
        self._fields: list[tuple[str, bytearray]] = []
        self._bytes = self._parts = 0

    async def handle(self, event: _Event) -> None:
        """Handle the start of a part, or bytes of the current one."""
        if isinstance(event, _Part):
            self._begin(event)
        elif self._write:
            await self._write(event)
        else:
            self._bytes += len(event)
            if self._bytes > MAXIMUM_FIELD_BYTES:
                name = self._fields[-1][0]
                raise InvalidFieldsError({name: "The fields are too long in total."})
            self._fields[-1][1].extend(event)

    def _begin(self, part: _Part) -> None:
        self._parts += 1
        if self._parts > MAXIMUM_PARTS:
            raise InvalidFieldsError({part.name: f"The form has more than {MAXIMUM_PARTS} parts."})
        self._write = None
        if part.name == self._file_field:
            if self._has_file:
                raise InvalidFieldsError({part.name: "Send one file per separation."})
            self._has_file = True
            self._write = self._accept_file(part.filename or "")
        elif part.filename is not None:
            raise InvalidFieldsError({part.name: f"The file belongs in the field {self._file_field}."})
        else:
            self._fields.append((part.name, bytearray()))

    def fields(self) -> list[tuple[str, str]]:
        """Return the names and values of the fields."""
        if not self._has_file:
            raise InvalidFieldsError({self._file_field: "The form has no file. Send one in this field."})
        return [(name, _text(value)) for name, value in self._fields]


class _Parser:
    """Parser of a form into events."""

    def __init__(self, content_type: str) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not boundary:
            raise MalformedRequestError("The Content-Type of the form lacks its boundary.")
        self.ended = False
        self._events: list[_Event] = []
        self._name, self._value, self._disposition = bytearray(), bytearray(), b""
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._begin_part,
                    "on_part_data": lambda data, start, end: self._events.append(data[start:end]),
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise MalformedRequestError("The boundary of the form is too long.") from error

    def feed(self, chunk: bytes) -> list[_Event]:
        """Parse a chunk of the body and return its events."""
        if chunk and not self.ended:
            try:
                self._parser.write(chunk)
            except FormParserError as error:
                raise MalformedRequestError("The body is not a multipart form.") from error
        events, self._events = self._events, []
        return events

    def _end_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _begin_part(self) -> None:
        disposition = self._disposition.decode("latin-1")
        kind, options = parse_options_header(disposition)
        self._disposition = b""
        name = options.get(b"name")
        if kind != b"form-data" or name is None:
            raise MalformedRequestError("Each part of the form needs a name in its Content-Disposition.")
        self._events.append(_Part(_text(name), best_name(disposition, options.get(b"filename"))))

    def _end(self) -> None:
        self.ended = True


def _text(value: bytes | bytearray) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedRequestError("Names and fields of the form must be UTF-8 text.") from error
