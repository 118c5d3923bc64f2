"""Submissions, read from the bodies of requests: JSON, or the fields of a form."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from pydantic import TypeAdapter, ValidationError

from spleeter_microservice.errors import MalformedRequestError
from spleeter_microservice.separation.mixes import read_mixes
from spleeter_microservice.web.submit.options import SubmissionForm, refuse

NOT_IN_FORMS = ("source_url", "upload", "separation", "example")
"""Fields that name the song, instead of a file in a form."""


def from_json(body: bytes) -> SubmissionForm:
    """Read a submission in JSON, which has the address of the song or of a resumable upload.

    Raises:
        MalformedRequestError: if it is not a JSON object.
        InvalidFieldsError: if fields are missing, unknown or wrong.
    """
    values = _parsed(body)
    if not isinstance(values, dict):
        raise MalformedRequestError("The body must be a JSON object.")
    named = [name for name in NOT_IN_FORMS if values.get(name) not in (None, False)]
    if not named:
        refuse(
            "source_url",
            "Set this to the song's address, upload to that of a resumable upload or separation to the id of "
            "an earlier one, or send the song in a multipart form.",
        )
    if len(named) > 1:
        refuse(named[1], f"Send only one of {', '.join(NOT_IN_FORMS)}.")
    return SubmissionForm.validated(values)


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_SWITCH = TypeAdapter(bool)
_OMITTED = ("", "null")  # what pages send for an empty control, and scripts for a missing value


def _reader(schema: Mapping[str, Any]) -> Callable[[str], Any]:
    """Return a function that reads the text of a field in the spellings of plain HTML forms.

    It returns what it does not understand unchanged, for the validation to refuse.
    """
    kind = schema.get("anyOf", [schema])[0]
    if "oneOf" in kind:  # a text or an object
        return lambda text: _object(text) if text.startswith("{") else text
    if kind["type"] == "array":
        read = _reader(kind["items"])
        return lambda text: [read(part.strip()) for part in text.split(",") if part.strip()]
    if kind["type"] == "string":
        choices = {choice.lower(): choice for choice in kind.get("enum", ())}
        return lambda text: choices.get(text.lower(), text)
    return {"boolean": _switch, "integer": _number, "number": _number, "object": _object}[kind["type"]]


def _switch(text: str) -> bool | str:
    try:
        return _SWITCH.validate_python(text)
    except ValidationError:
        return text


def _number(text: str) -> float | str:
    if not _NUMBER.fullmatch(text):
        return text
    number = float(text)
    return int(number) if number.is_integer() else number


def _mixes(text: str) -> Any:
    return _object(text) if text.startswith("{") else read_mixes(text)


def _object(text: str) -> Any:
    try:
        return _parsed(text)
    except MalformedRequestError:
        return text


_READERS = {
    name: _reader(schema) for name, schema in SubmissionForm.model_json_schema()["properties"].items()
} | {"mixes": _mixes, "video": _mixes}


def from_form(fields: Iterable[tuple[str, str]]) -> SubmissionForm:
    """Read a submission from the fields of a form; empty fields count as left out.

    Args:
        fields: names and texts of all fields but the file.

    Raises:
        InvalidFieldsError: if fields are unknown, wrong or duplicate.
    """
    values: dict[str, Any] = {}
    for name, text in fields:
        if name in NOT_IN_FORMS:
            refuse(name, "Send either a file in a form, or this as JSON.")
        if text.strip() in _OMITTED:
            continue
        value, earlier = _READERS.get(name, str)(text.strip()), values.get(name)
        if isinstance(value, list) and isinstance(earlier, list):
            values[name] += value
        elif (
            name in ("mixes", "video")
            and isinstance(value, dict)
            and isinstance(earlier, dict)
            and not value.keys() & earlier.keys()
        ):
            values[name] |= value
        elif name in values:
            refuse(name, "The field is sent twice.")
        else:
            values[name] = value
    return SubmissionForm.validated(values)


def _parsed(text: str | bytes) -> Any:
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise MalformedRequestError("The body is not JSON.") from error


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
