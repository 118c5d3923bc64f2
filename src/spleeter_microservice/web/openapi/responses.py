"""Error responses of routes, and bodies that routes parse themselves, for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from spleeter_microservice import errors
from spleeter_microservice.web.problem_handler import MEDIA_TYPE, title_of
from spleeter_microservice.web.submit.bodies import NOT_IN_FORMS
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
    errors.InvalidFieldsError,
    errors.CredentialsError,
    errors.MissingScopeError,
    errors.RateLimitError,
    errors.DatabaseUnavailableError,
    errors.DatabaseFullError,
    errors.TokenKeysUnavailableError,
    errors.AuditUnwritableError,
    errors.StoppingError,
)
SUBMITTING: tuple[type[errors.SpleeterError], ...] = (
    errors.IdempotencyConflictError,
    errors.UnknownUploadError,
    errors.UnknownJobError,
    errors.ObjectNotFoundError,
    errors.UnsupportedTypeError,
    *errors.error_classes(errors.InputError),
    *errors.error_classes(errors.InferenceError),
    errors.SongTooLongError,
    *errors.error_classes(errors.AntivirusError),
    *errors.error_classes(errors.OutgoingError),
    errors.TooManyUploadsError,
    errors.TooManyFetchesError,
    *errors.error_classes(errors.QueueFullError),
    errors.StoredTooMuchError,
    errors.WebhooksPendingError,
    errors.ModelNotInstalledError,
    errors.StorageUnavailableError,
    errors.DiskFullError,
)
"""Errors that the submission of a song may raise."""

_EXAMPLE_ID = "0190c3f2a1b87d3e8f4b5c6d7e8f9a0b"
_EXAMPLE_UPLOAD = "0190c3f2-a1b8-7d3e-8f4b-5c6d7e8f9a0b"
_PROBLEM = {"$ref": "#/components/schemas/ProblemDocument"}
RETRY_AFTER = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
}
LOCATION = {"Location": {"description": "Path of the separation.", "schema": {"type": "string"}}}
_CONTENT_RANGE = {"Content-Range": {"description": "`bytes */` and the size.", "schema": {"type": "string"}}}
_VERSIONS = {"Tus-Version": {"description": "Versions of the protocol.", "schema": {"type": "string"}}}
_HEADERS = {
    412: _VERSIONS,
    416: _CONTENT_RANGE,
    423: RETRY_AFTER,
    429: RETRY_AFTER,
    503: RETRY_AFTER,
    507: RETRY_AFTER,
    504: LOCATION,
}
"""Headers of error responses, by HTTP status."""


def open_to_all(*kinds: type[errors.SpleeterError]) -> Answers:
    """Return the error responses of a route that needs no key and may also raise these errors."""
    return _answers((*_EVERYWHERE, *kinds))


def keyed_responses(*kinds: type[errors.SpleeterError]) -> Answers:
    """Return the error responses of a route that needs a key and may also raise these errors."""
    return _answers((*_EVERYWHERE, *_WITH_A_KEY, *kinds))


def _answers(kinds: Iterable[type[errors.SpleeterError]]) -> Answers:
    by_status: dict[int, list[type[errors.SpleeterError]]] = {}
    for kind in {kind.code: kind for kind in kinds}.values():
        by_status.setdefault(kind.http, []).append(kind)
    return {status: _answer(kinds) for status, kinds in sorted(by_status.items())}


def _answer(kinds: list[type[errors.SpleeterError]]) -> dict[str, Any]:
    examples = {kind.code: {"summary": title_of(kind), "value": _example(kind)} for kind in kinds}
    answer: dict[str, Any] = {
        "description": "; ".join(map(title_of, kinds)) + ".",
        "content": {MEDIA_TYPE: {"schema": _PROBLEM, "examples": examples}},
    }
    headers = _HEADERS.get(kinds[0].http)
    return answer | ({"headers": headers} if headers else {})


def _example(kind: type[errors.SpleeterError]) -> dict[str, Any]:
    return {
        "type": f"/problems/{kind.code}",
        "title": title_of(kind),
        "status": kind.http,
        "detail": kind.public or "What is wrong, and what to do about it.",
        "instance": "/v1/separations",
        "request_id": _EXAMPLE_ID,
    }


def _properties() -> dict[str, Any]:
    schema = SubmissionForm.model_json_schema()
    return {name: _without_null(value) for name, value in schema["properties"].items()}


def _without_null(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a field that is omitted rather than null."""
    rest = {key: item for key, item in value.items() if key not in ("anyOf", "default", "title")}
    kind: dict[str, Any]
    (kind,) = [item for item in value.get("anyOf", [{}]) if item.get("type") != "null"]
    return rest | kind | ({"default": value["default"]} if value.get("default") is not None else {})


def _body(description: str, properties: Mapping[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


_FILE = {
    "type": "string",
    "format": "binary",
    "description": "The song. Its content decides what it is, and its name is for display.",
}
_FILE_NAME = {
    "description": "The file name, from which those of the stems are made.",
    "schema": {"type": "string"},
    "example": 'form-data; name="file"; filename="song.wav"',
}
_OPTIONS = {name: value for name, value in _properties().items() if name not in NOT_IN_FORMS}
BODIES: dict[str, Any] = {
    "SeparationForm": _body("A song that is uploaded.", {"file": _FILE} | _OPTIONS, "file"),
    "SeparationRequest": _body("A song that the service fetches or already has.", _properties()),
}
"""Schemas of the bodies that routes parse themselves."""

SUBMISSION_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {"$ref": "#/components/schemas/SeparationForm"},
            "encoding": {
                "metadata": {"contentType": "application/json"},
                "mixes": {"contentType": "application/json"},
                "video": {"contentType": "application/json"},
                "file": {"headers": {"Content-Disposition": _FILE_NAME}},
            },
        },
        "application/json": {
            "schema": {"$ref": "#/components/schemas/SeparationRequest"},
            "examples": {
                "fetched": {"value": {"source_url": "https://example.com/song.mp3", "stems": 4}},
                "uploaded": {"value": {"upload": f"/v1/uploads/{_EXAMPLE_UPLOAD}", "stems": 4}},
                "again": {"value": {"separation": _EXAMPLE_UPLOAD, "stems": 4}},
            },
        },
    },
}
"""The request body of routes that accept a song in a form, or the name of one as JSON."""
