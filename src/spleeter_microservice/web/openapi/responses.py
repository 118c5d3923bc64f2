"""What the OpenAPI document says of routes' answers and of the bodies that they read themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from spleeter_microservice import errors
from spleeter_microservice.web.problem_catalogue import HTTP_PROBLEMS, INTERNAL, PROBLEMS, Problem
from spleeter_microservice.web.problem_handler import MEDIA_TYPE
from spleeter_microservice.web.submit.options import SubmissionForm

Answers = dict[int | str, dict[str, Any]]

_EVERYWHERE = (
    errors.MalformedRequestError,
    errors.RequestTooSlowError,
    errors.RequestTooLargeError,
    errors.SpleeterError,
)
_WITH_A_KEY = (
    errors.WrongHostError,
    errors.CredentialsError,
    errors.MissingScopeError,
    errors.RateLimitError,
    errors.DatabaseUnavailableError,
    errors.TokenKeysUnavailableError,
    errors.AuditUnwritableError,
)
SUBMITTING: tuple[type[errors.SpleeterError], ...] = (
    errors.InvalidFieldsError,
    errors.IdempotencyConflictError,
    errors.UnsupportedTypeError,
    errors.NotAudioError,
    errors.NoAudioStreamError,
    errors.EmptyInputError,
    errors.EncryptedInputError,
    errors.TruncatedInputError,
    errors.NoSamplesError,
    errors.InvalidSamplesError,
    errors.InputError,
    errors.JobTimeLimitError,
    errors.JobMemoryLimitError,
    errors.InferenceCrashedError,
    errors.SongTooLongError,
    errors.InfectedError,
    errors.ScanLimitError,
    errors.ForbiddenAddressError,
    errors.UnreachableError,
    errors.QueueFullError,
    errors.ModelNotInstalledError,
    errors.StorageUnavailableError,
    errors.ScannerUnavailableError,
    errors.InferenceError,
    errors.DiskFullError,
)
"""What may be wrong with a song that is submitted."""

_EXAMPLE_ID = "0190c3f2a1b87d3e8f4b5c6d7e8f9a0b"
_PROBLEM = {"$ref": "#/components/schemas/ProblemDocument"}
RETRY_AFTER = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
}
LOCATION = {"Location": {"description": "Path of the separation.", "schema": {"type": "string"}}}
_CONTENT_RANGE = {"Content-Range": {"description": "`bytes */` and the size.", "schema": {"type": "string"}}}
_HEADERS = {416: _CONTENT_RANGE, 429: RETRY_AFTER, 503: RETRY_AFTER, 504: LOCATION}
"""Of refusals, by their status."""


def open_to_all(*kinds: type[errors.SpleeterError]) -> Answers:
    """Give the refusals of a route that needs no key; it may raise these kinds of errors, too."""
    return _answers((*_EVERYWHERE, *kinds))


def keyed_responses(*kinds: type[errors.SpleeterError]) -> Answers:
    """Give the refusals of a route that needs a key; it may raise these kinds of errors, too."""
    return _answers((*_EVERYWHERE, *_WITH_A_KEY, *kinds))


def _answers(kinds: Iterable[type[errors.SpleeterError]]) -> Answers:
    by_status: dict[int, list[Problem]] = {}
    for problem in dict.fromkeys(PROBLEMS[kind] for kind in kinds):
        by_status.setdefault(problem.status, []).append(problem)
    return {status: _answer(problems) for status, problems in sorted(by_status.items())}


def _answer(problems: list[Problem]) -> dict[str, Any]:
    examples = {problem.name: {"summary": problem.title, "value": _example(problem)} for problem in problems}
    answer: dict[str, Any] = {
        "description": "; ".join(dict.fromkeys(problem.title for problem in problems)) + ".",
        "content": {MEDIA_TYPE: {"schema": _PROBLEM, "examples": examples}},
    }
    headers = _HEADERS.get(problems[0].status)
    return answer | ({"headers": headers} if headers else {})


def _example(problem: Problem) -> dict[str, Any]:
    return {
        "type": problem.type,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail or "What is wrong, and what to do about it.",
        "instance": "/v1/separations",
        "request_id": _EXAMPLE_ID,
    }


def all_problems() -> dict[str, Problem]:
    """Give every problem that there is, by its name."""
    return {problem.name: problem for problem in (INTERNAL, *PROBLEMS.values(), *HTTP_PROBLEMS.values())}


def _properties() -> dict[str, Any]:
    schema = SubmissionForm.model_json_schema()
    return {name: _without_null(value) for name, value in schema["properties"].items()}


def _without_null(value: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a field that is left out rather than null."""
    rest = {key: item for key, item in value.items() if key not in ("anyOf", "default", "title")}
    kind: dict[str, Any]
    (kind,) = [item for item in value.get("anyOf", [{}]) if item.get("type") != "null"]
    return rest | kind | ({"default": value["default"]} if value.get("default") is not None else {})


def _body(description: str, properties: Mapping[str, Any], required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "properties": dict(properties),
        "required": [required],
        "additionalProperties": False,
    }


_FILE = {"type": "string", "format": "binary", "description": "The song; its name must have an extension."}
_FILE_NAME = {
    "description": "The file's name must end as songs' names do.",
    "schema": {"type": "string"},
    "example": 'form-data; name="file"; filename="song.wav"',
}
_OPTIONS = {name: value for name, value in _properties().items() if name != "source_url"}
BODIES: dict[str, Any] = {
    "SeparationForm": _body("A song that is sent along.", {"file": _FILE} | _OPTIONS, "file"),
    "SeparationRequest": _body("A song to be fetched.", _properties(), "source_url"),
}
"""Schemas of the bodies that routes read themselves."""

FORM_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {"$ref": "#/components/schemas/SeparationForm"},
            "encoding": {
                "metadata": {"contentType": "application/json"},
                "file": {"headers": {"Content-Disposition": _FILE_NAME}},
            },
        }
    },
}
"""The request's body of routes that take a song in a form."""
SUBMISSION_BODY: dict[str, Any] = {
    "required": True,
    "content": FORM_BODY["content"]
    | {
        "application/json": {
            "schema": {"$ref": "#/components/schemas/SeparationRequest"},
            "examples": {"fetched": {"value": {"source_url": "https://example.com/song.mp3", "stems": 4}}},
        }
    },
}
"""The request's body of routes that take a song in a form, or its address as JSON."""
