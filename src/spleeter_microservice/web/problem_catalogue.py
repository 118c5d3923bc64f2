"""HTTP problems (RFC 9457): the types of errors, and those that the web framework raises itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus

from spleeter_microservice import errors
from spleeter_microservice.errors import Facts

HTTP_PROBLEMS: Mapping[int, Facts] = {
    400: replace(errors.MalformedRequestError.facts, public="The request cannot be parsed."),
    404: replace(errors.ObjectNotFoundError.facts, public="Nothing exists at this path. Check the path."),
    405: Facts("method-not-allowed", http=405, public="The path does not allow this method. See Allow."),
    413: replace(errors.RequestTooLargeError.facts, public="The request has more bytes than the limit."),
    415: replace(errors.UnsupportedTypeError.facts, public="The body has a type that is not accepted."),
}
"""What the framework itself refuses, by HTTP status."""

_BY_CODE = {kind.facts.code: kind.facts for kind in errors.error_classes()}


def problem_type(facts: Facts) -> str:
    """Return the URI by which programs tell problems apart."""
    return f"/problems/{facts.code}"


def facts_of_failure(kind: str) -> Facts:
    """Return the facts of a failed job: its error's if the song or a full disk is at fault, else a 500.

    Args:
        kind: type of the job's error, with or without ``/problems/``.
    """
    failed = errors.SeparationFailedError.facts
    code = kind.removeprefix("/problems/") or failed.code
    facts = _BY_CODE.get(code, failed)
    if facts.http >= 500 and facts.http != HTTPStatus.INSUFFICIENT_STORAGE:
        return replace(failed, code=code)
    return replace(facts, public=None)  # the job's own message says more
