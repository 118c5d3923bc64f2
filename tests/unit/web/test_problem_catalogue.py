"""Errors as callers see them: each has a problem of its own, and none tells anything internal."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from spleeter_microservice import errors
from spleeter_microservice.errors import SpleeterError
from spleeter_microservice.web.openapi.responses import all_problems
from spleeter_microservice.web.problem_catalogue import INTERNAL, PROBLEMS, problem_of
from spleeter_microservice.web.problem_handler import invalid_fields, problem_response

KINDS = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, SpleeterError)]
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
# Raised with words that were written for callers, and with nothing from within.
SPEAKING = {
    errors.InfectedError,
    errors.ScanLimitError,
    errors.SongTooLongError,
    errors.RequestTooLargeError,
    errors.UnsupportedTypeError,
    errors.MalformedRequestError,
    errors.InvalidFieldsError,
    errors.InvalidCursorError,
    errors.WrongHostError,
    errors.RequestTooSlowError,
    errors.IdempotencyConflictError,
    errors.ForbiddenAddressError,
    errors.ResponseTooLargeError,
    errors.AuthenticationError,
    errors.InvalidKeyError,
    errors.InvalidTokenError,
    errors.CredentialsError,
    errors.MissingScopeError,
    errors.RateLimitError,
    errors.QueueFullError,
    errors.UnknownJobError,
    errors.NotReadyError,
    errors.NoSuchStemError,
    errors.UnsatisfiableRangeError,
    errors.SeparationFailedError,
    errors.WaitedTooLongError,
    errors.StoppingError,
}


def thrown(kind: type[SpleeterError]) -> SpleeterError:
    if kind is errors.InvalidFieldsError:
        return errors.InvalidFieldsError({"stems": SECRET})
    return kind(SECRET, **EXTRA.get(kind, {}))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_is_a_whole_problem_document(kind: type[SpleeterError]) -> None:
    answer = problem_response(SCOPE, thrown(kind))
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
def test_an_error_shows_its_own_message_only_if_that_was_written_for_callers(
    kind: type[SpleeterError],
) -> None:
    assert (SECRET in bytes(problem_response(SCOPE, thrown(kind)).body).decode()) == (kind in SPEAKING)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_who_should_come_again_is_told_when(kind: type[SpleeterError]) -> None:
    answer = problem_response(SCOPE, thrown(kind))
    assert (answer.status_code in (429, 503)) == ("retry-after" in answer.headers)


def test_an_unexpected_error_tells_nothing() -> None:
    answer = problem_response(SCOPE, RuntimeError(SECRET))
    assert answer.status_code == 500
    assert SECRET not in bytes(answer.body).decode()


def test_an_error_without_a_problem_is_answered_as_the_one_above() -> None:
    class NewInputError(errors.TruncatedInputError):
        pass

    class NewError(SpleeterError):
        pass

    assert problem_of(NewInputError) == PROBLEMS[errors.TruncatedInputError]
    assert problem_of(NewError) == INTERNAL


def test_one_name_has_one_status_and_title() -> None:
    named = {problem.name: (problem.status, problem.title) for problem in all_problems().values()}
    for problem in PROBLEMS.values():
        assert named[problem.name] == (problem.status, problem.title)


@pytest.mark.parametrize("status", [404, 405, 406, 413, 415, 418])
def test_what_the_framework_refuses_is_a_problem_too(status: int) -> None:
    answer = problem_response(SCOPE, HTTPException(status, SECRET))
    assert answer.status_code == (500 if status == 418 else status)
    assert SECRET not in bytes(answer.body).decode()


def test_a_wait_is_the_limiter_s_own() -> None:
    assert problem_response(SCOPE, errors.RateLimitError("Wait.", 7)).headers["retry-after"] == "7"


def test_a_wrong_field_is_named_without_its_value() -> None:
    found = RequestValidationError([{"loc": ("query", "limit"), "msg": "Too much", "input": SECRET}]).errors()
    error = invalid_fields(found)
    assert dict(error.fields) == {"query.limit": "Too much."}
