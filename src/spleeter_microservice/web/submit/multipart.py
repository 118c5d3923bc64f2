"""Multipart forms, taken apart as they arrive (RFC 7578); a file in them is never held in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from spleeter_microservice.errors import InvalidFieldsError, MalformedRequestError

MAXIMUM_PARTS = 64
MAXIMUM_FIELD_BYTES = 64 << 10
"""Bytes of all fields together, the file apart."""

Write = Callable[[bytes], Awaitable[None]]
AcceptFile = Callable[[str], Write]
"""Is given the name that the client has for the file, and gives what takes its bytes."""


@dataclass(frozen=True)
class _Part:
    """A part's name, and its file's name if it is one."""

    name: str
    filename: str | None


_Piece = _Part | bytes
"""The beginning of a part, or bytes of it."""


async def read_form(
    chunks: AsyncIterator[bytes], content_type: str, file_field: str, accept_file: AcceptFile
) -> list[tuple[str, str]]:
    """Read a form: hand on the bytes of its one file, and give its other fields in their order.

    Args:
        chunks: the body as it arrives.
        content_type: the header, with the boundary.
        file_field: name of the field with the file.
        accept_file: called at the file's beginning; may refuse it.

    Raises:
        MalformedRequestError: when it is no form, or ends too early.
        InvalidFieldsError: when it has two files, a file elsewhere, or too much of something.
    """
    form = _Form(file_field, accept_file)
    parser = _Parser(content_type)
    async for chunk in chunks:
        for piece in parser.feed(chunk):
            await form.take(piece)
    if not parser.ended:
        raise MalformedRequestError("The form ends before its last boundary. Send it completely.")
    return form.fields()


class _Form:
    """Sorts the pieces of a form."""

    def __init__(self, file_field: str, accept_file: AcceptFile) -> None:
        self._file_field = file_field
        self._accept_file = accept_file
        self._write: Write | None = None
        self._has_file = False
        self._fields: list[tuple[str, bytearray]] = []
        self._bytes = self._parts = 0

    async def take(self, piece: _Piece) -> None:
        """Take the beginning of a part, or bytes of the one that began last."""
        if isinstance(piece, _Part):
            self._begin(piece)
        elif self._write:
            await self._write(piece)
        else:
            self._bytes += len(piece)
            if self._bytes > MAXIMUM_FIELD_BYTES:
                name = self._fields[-1][0]
                raise InvalidFieldsError({name: "The fields are too long, taken together."})
            self._fields[-1][1].extend(piece)

    def _begin(self, part: _Part) -> None:
        self._parts += 1
        if self._parts > MAXIMUM_PARTS:
            raise InvalidFieldsError({part.name: f"The form has more than {MAXIMUM_PARTS} parts."})
        self._write = None
        if part.name == self._file_field:
            if self._has_file:
                raise InvalidFieldsError({part.name: "Send one file for each separation."})
            self._has_file = True
            self._write = self._accept_file(part.filename or "")
        elif part.filename is not None:
            raise InvalidFieldsError({part.name: f"The file belongs in the field {self._file_field}."})
        else:
            self._fields.append((part.name, bytearray()))

    def fields(self) -> list[tuple[str, str]]:
        """Give the fields' names and texts."""
        if not self._has_file:
            raise InvalidFieldsError({self._file_field: "The form has no file. Send one in this field."})
        return [(name, _text(value)) for name, value in self._fields]


class _Parser:
    """Gives a form's pieces."""

    def __init__(self, content_type: str) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not boundary:
            raise MalformedRequestError("The Content-Type of the form must name its boundary.")
        self.ended = False
        self._pieces: list[_Piece] = []
        self._name, self._value, self._disposition = bytearray(), bytearray(), b""
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._begin_part,
                    "on_part_data": lambda data, start, end: self._pieces.append(data[start:end]),
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise MalformedRequestError("The boundary of the form is too long.") from error

    def feed(self, chunk: bytes) -> list[_Piece]:
        """Take a part of the body and give the pieces in it."""
        if chunk and not self.ended:
            try:
                self._parser.write(chunk)
            except FormParserError as error:
                raise MalformedRequestError("The body is not a multipart form.") from error
        pieces, self._pieces = self._pieces, []
        return pieces

    def _end_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _begin_part(self) -> None:
        kind, options = parse_options_header(self._disposition.decode("latin-1"))
        self._disposition = b""
        name, filename = options.get(b"name"), options.get(b"filename")
        if kind != b"form-data" or name is None:
            raise MalformedRequestError("Each part of the form must say its name in Content-Disposition.")
        self._pieces.append(_Part(_text(name), None if filename is None else _text(filename)))

    def _end(self) -> None:
        self.ended = True


def _text(value: bytes | bytearray) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedRequestError("Names and fields of the form must be text in UTF-8.") from error
