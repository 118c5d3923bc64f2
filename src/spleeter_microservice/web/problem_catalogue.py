"""HTTP problems (RFC 9457): the types of errors, and those that the web framework raises itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus

from spleeter_microservice import errors


@dataclass(frozen=True)
class Problem:
    """A type of problem, with the attributes of the error class that it is made from."""

    code: str
    http: int
    title: str
    public: str
    retry_after: int = 0

    @property
    def type(self) -> str:
        """The URI by which programs tell problems apart."""
        return f"/problems/{self.code}"


def problem_of(kind: type[errors.SpleeterError]) -> Problem:
    """Return the problem of a class of errors."""
    title = kind.title or kind.code.replace("-", " ").capitalize()
    return Problem(kind.code, kind.http, title, kind.public, kind.retry_after)


def _framework(kind: type[errors.SpleeterError], public: str) -> Problem:
    return replace(problem_of(kind), public=public)


HTTP_PROBLEMS: Mapping[int, Problem] = {
    400: _framework(errors.MalformedRequestError, "The request cannot be parsed."),
    404: _framework(errors.ObjectNotFoundError, "Nothing exists at this path. Check the path."),
    405: Problem(
        "method-not-allowed", 405, "Method not allowed", "The path does not allow this method. See Allow."
    ),
    413: _framework(errors.RequestTooLargeError, "The request has more bytes than the limit."),
    415: _framework(errors.UnsupportedTypeError, "The body has a type that is not accepted."),
}
"""What the framework itself refuses, by HTTP status."""

_BY_CODE = {kind.code: problem_of(kind) for kind in errors.error_classes()}


def problem_of_failure(kind: str) -> Problem:
    """Return the problem of a failed job: its error's if the song or a full disk is at fault, else a 500.

    Args:
        kind: type of the job's error, with or without ``/problems/``.
    """
    failed = problem_of(errors.SeparationFailedError)
    code = kind.removeprefix("/problems/") or failed.code
    problem = _BY_CODE.get(code, failed)
    if problem.http >= 500 and problem.http != HTTPStatus.INSUFFICIENT_STORAGE:
        return replace(failed, code=code)
    return replace(problem, public="")  # the job's own message says more
