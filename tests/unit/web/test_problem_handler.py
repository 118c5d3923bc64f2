"""Every error becomes a problem document that reveals nothing internal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from structlog.testing import capture_logs

from spleeter_microservice import errors
from spleeter_microservice.errors import SpleeterError, error_classes
from spleeter_microservice.web.problem_handler import invalid_fields, problem_response

KINDS = list(error_classes())
SECRET = "/srv/secret at 10.0.0.5: SELECT password"
SCOPE = {"type": "http", "path": "/v1/separations", "state": {"request_id": "r1"}}
EXTRA: dict[type[SpleeterError], dict[str, Any]] = {
    errors.MissingScopeError: {"scope": "read"},
    errors.RateLimitError: {"retry_after": 7},
    errors.TokenKeysUnavailableError: {"retry_after": 7},
    errors.InfectedError: {"signature": "Eicar"},
    errors.UnsatisfiableRangeError: {"size": 5},
    errors.SeparationFailedError: {"type": "internal-error"},
    errors.StillRunningError: {"location": "/"},
    errors.WaitedTooLongError: {"location": "/"},
    errors.StoppingError: {"location": "/"},
    errors.InvalidKeyError: {"reason": "unknown"},
    errors.InvalidTokenError: {"reason": "expired"},
}
# Their messages are written for callers and contain nothing internal.
SPEAKING = {
    errors.InfectedError,
    errors.ScanLimitError,
    errors.SongTooLongError,
    errors.HeadersTooLargeError,
    errors.RequestTooLargeError,
    errors.UnsupportedTypeError,
    errors.MalformedRequestError,
    errors.UnknownPathError,
    errors.MethodNotAllowedError,
    errors.InvalidFieldsError,
    errors.InvalidCursorError,
    errors.WrongHostError,
    errors.RequestTooSlowError,
    errors.IdempotencyConflictError,
    errors.ForbiddenAddressError,
    errors.ResponseTooLargeError,
    errors.BucketError,
    *errors.error_classes(errors.SignedUrlError),
    errors.AuthenticationError,
    errors.InvalidKeyError,
    errors.InvalidTokenError,
    errors.CredentialsError,
    errors.MissingScopeError,
    errors.RateLimitError,
    *errors.error_classes(errors.ShareError),
    errors.UnknownJobError,
    errors.NotReadyError,
    errors.NoSuchStemError,
    errors.NoPreviewError,
    errors.NoSuchTrackError,  # raised by the prober, which removes the path
    errors.UnsatisfiableRangeError,
    errors.UnknownUploadError,
    errors.UploadOffsetError,
    errors.UploadLockedError,
    errors.UploadFinalError,
    errors.ChecksumMismatchError,
    errors.ProtocolVersionError,
    errors.SeparationFailedError,
    errors.WaitedTooLongError,
    errors.StoppingError,
    errors.RequestError,
    errors.StillRunningError,
}


def raised(kind: type[SpleeterError]) -> SpleeterError:
    if kind is errors.InvalidFieldsError:
        return errors.InvalidFieldsError({"stems": SECRET})
    return kind(SECRET, **EXTRA.get(kind, {}))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_becomes_a_complete_problem_document(kind: type[SpleeterError]) -> None:
    answer = problem_response(SCOPE, raised(kind))
    document = answer.media_type, *(bytes(answer.body).count(name) for name in FIELDS)
    assert document == ("application/problem+json", *(1 for _ in FIELDS))
    assert 400 <= answer.status_code < 600


FIELDS = (
    b'"type":"/problems/',
    b'"title":',
    b'"status":',
    b'"instance":"/v1/separations"',
    b'"request_id":"r1"',
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_shows_its_message_only_if_that_is_written_for_callers(
    kind: type[SpleeterError],
) -> None:
    assert (SECRET in bytes(problem_response(SCOPE, raised(kind)).body).decode()) == (kind in SPEAKING)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_refusal_that_will_pass_says_when_to_try_again(kind: type[SpleeterError]) -> None:
    answer = problem_response(SCOPE, raised(kind))
    assert (answer.status_code in (423, 429, 503, 507)) == ("retry-after" in answer.headers)


def test_an_unexpected_error_reveals_nothing() -> None:
    answer = problem_response(SCOPE, RuntimeError(SECRET))
    assert answer.status_code == 500
    assert SECRET not in bytes(answer.body).decode()


@pytest.mark.parametrize(
    ("error", "traced"), [(RuntimeError("gone"), True), (errors.DiskFullError("no space"), False)]
)
def test_only_an_unexpected_error_fills_the_log_with_its_trace(error: Exception, traced: bool) -> None:
    with capture_logs() as lines:
        problem_response(SCOPE, error)
    assert [(line["reason"], line["exc_info"] is error) for line in lines] == [(str(error), traced)]


@pytest.mark.parametrize("code", sorted({kind.code for kind in KINDS}))
def test_a_failed_job_answers_with_the_code_of_its_error_and_a_500_unless_song_or_disk_is_at_fault(
    code: str,
) -> None:
    statuses = {kind.http for kind in KINDS if kind.code == code}
    answer = problem_response(SCOPE, errors.SeparationFailedError("Why it failed.", type=f"/problems/{code}"))
    assert {answer.status_code} == {status if status == 507 else min(status, 500) for status in statuses}
    document = json.loads(bytes(answer.body))
    assert (document["type"], document["detail"]) == (f"/problems/{code}", "Why it failed.")


@pytest.mark.parametrize("status", [404, 405, 413, 415, 418])
def test_what_the_framework_refuses_becomes_a_problem_document(status: int) -> None:
    answer = problem_response(SCOPE, HTTPException(status, SECRET))
    assert answer.status_code == (500 if status == 418 else status)
    assert SECRET not in bytes(answer.body).decode()


def test_retry_after_is_the_time_that_the_rate_limiter_names() -> None:
    assert problem_response(SCOPE, errors.RateLimitError("Wait.", 7)).headers["retry-after"] == "7"


def test_a_wrong_field_is_named_without_its_value() -> None:
    found = RequestValidationError([{"loc": ("query", "limit"), "msg": "Too much", "input": SECRET}]).errors()
    error = invalid_fields(found)
    assert dict(error.fields) == {"query.limit": "Too much."}
