"""What each error is called over HTTP: its type, status and words (RFC 9457).

The only place that knows HTTP statuses of errors. An error of a class that is not here is
answered as the nearest class above it that is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from spleeter_microservice import errors

_LATER = 5  # seconds; what is away is mostly back after a restart


@dataclass(frozen=True)
class Problem:
    """A kind of problem.

    Attributes:
        name: its stable name; ``type`` is ``/problems/`` and that.
        status: of the answer.
        title: the same for every occurrence.
        detail: said in place of the error's own message, where that may name paths, addresses
            or other things from within; None: the message is fit for callers.
        retry_after: seconds after which to try again.
    """

    name: str
    status: int
    title: str
    detail: str | None = None
    retry_after: int | None = None

    @property
    def type(self) -> str:
        """The URI that programs tell problems apart by."""
        return f"/problems/{self.name}"


def _away(name: str, title: str, what: str) -> Problem:
    return Problem(name, 503, title, f"{what} Try again in a moment.", _LATER)


INTERNAL = Problem(
    "internal-error",
    500,
    "Internal error",
    "Something went wrong within the service. If it stays so, give the request id to the operator.",
)

PROBLEMS: Mapping[type[errors.SpleeterError], Problem] = {
    errors.SpleeterError: INTERNAL,
    # The file.
    errors.InputError: Problem("unusable-audio", 422, "Unusable audio", "The file cannot be separated."),
    errors.EmptyInputError: Problem(
        "empty-file", 422, "Empty file", "The file has no bytes. Check that it was read completely."
    ),
    errors.NotAudioError: Problem(
        "not-audio",
        415,
        "Not audio",
        "The file is in no known audio format, whatever its name. Send WAV, FLAC, MP3, M4A, Ogg or Opus.",
    ),
    errors.NoAudioStreamError: Problem(
        "no-sound", 415, "No sound", "The file is a media file without sound. Send one with an audio track."
    ),
    errors.EncryptedInputError: Problem(
        "encrypted-audio", 422, "Encrypted audio", "The file is protected by DRM. Send one that is not."
    ),
    errors.TruncatedInputError: Problem(
        "truncated-audio",
        422,
        "Truncated audio",
        "The file ends, or breaks, before the end that it announces. Check that it plays to its end.",
    ),
    errors.NoSamplesError: Problem(
        "no-samples",
        422,
        "No samples",
        "The song, or the part of it asked for, has a length of zero. Check offset and duration.",
    ),
    errors.InvalidSamplesError: Problem(
        "invalid-samples",
        422,
        "Invalid samples",
        "The file has samples that are not finite numbers. Export it again.",
    ),
    errors.InfectedError: Problem("infected-file", 422, "Infected file"),
    errors.ScanLimitError: Problem("beyond-scanner", 422, "Beyond what is scanned"),
    errors.SongTooLongError: Problem("too-long", 422, "Too long"),
    errors.RequestTooLargeError: Problem("too-large", 413, "Too large"),
    errors.UnsupportedTypeError: Problem("unsupported-type", 415, "Unsupported type"),
    # The request.
    errors.MalformedRequestError: Problem("malformed-request", 400, "Malformed request"),
    errors.InvalidFieldsError: Problem("invalid-fields", 422, "Invalid fields"),
    errors.InvalidCursorError: Problem("invalid-cursor", 422, "Invalid cursor"),
    errors.WrongHostError: Problem("wrong-host", 421, "Wrong host"),
    errors.RequestTooSlowError: Problem("too-slow", 408, "Too slow"),
    errors.IdempotencyConflictError: Problem("idempotency-conflict", 422, "Idempotency conflict"),
    errors.ForbiddenAddressError: Problem("forbidden-address", 422, "Forbidden address"),
    errors.UnreachableError: Problem(
        "unreachable-source",
        422,
        "Unreachable source",
        "The file cannot be fetched: the server of source_url is away, slow, or has no such file.",
    ),
    errors.ResponseTooLargeError: Problem("too-large", 413, "Too large"),
    errors.ModelNotInstalledError: Problem(
        "model-not-installed",
        503,
        "Model not installed",
        "No worker has a model for this number of stems now. GET /v1/models lists those that there are.",
        60,
    ),
    # The caller.
    errors.AuthenticationError: Problem("unauthenticated", 401, "Unauthenticated"),
    errors.CredentialsError: Problem("unauthenticated", 401, "Unauthenticated"),
    errors.MissingScopeError: Problem("missing-scope", 403, "Missing scope"),
    errors.RateLimitError: Problem("too-many-requests", 429, "Too many requests"),
    errors.QueueFullError: Problem("queue-full", 429, "Queue full", retry_after=30),
    # What is asked for.
    errors.UnknownJobError: Problem("unknown-separation", 404, "Unknown separation"),
    errors.NotReadyError: Problem("not-ready", 409, "Not ready"),
    errors.NoSuchStemError: Problem("unknown-stem", 404, "Unknown stem"),
    errors.UnsatisfiableRangeError: Problem("unsatisfiable-range", 416, "Unsatisfiable range"),
    errors.SeparationFailedError: Problem("separation-failed", 500, "Separation failed"),
    errors.WaitedTooLongError: Problem("still-running", 504, "Still running"),
    errors.StoppingError: Problem("stopping", 503, "Stopping", retry_after=_LATER),
    errors.ObjectNotFoundError: Problem(
        "not-found", 404, "Not found", "There is nothing here, or its time is over."
    ),
    # What the service needs.
    errors.DatabaseUnavailableError: _away(
        "database-unavailable", "Database unavailable", "The database does not answer."
    ),
    errors.StorageUnavailableError: _away(
        "storage-unavailable", "Storage unavailable", "The object store does not answer, or is full."
    ),
    errors.DiskFullError: _away("disk-full", "Disk full", "There is no room for the file now."),
    errors.TokenKeysUnavailableError: _away(
        "issuer-unavailable", "Issuer unavailable", "Tokens cannot be checked now; API keys can."
    ),
    errors.ScannerUnavailableError: _away(
        "scanner-unavailable",
        "Scanner unavailable",
        "Files cannot be scanned for viruses now.",
    ),
    errors.AuditUnwritableError: _away(
        "audit-unwritable", "Audit log unwritable", "What is done cannot be recorded now, so nothing is done."
    ),
    errors.JobTimeLimitError: Problem(
        "time-limit", 422, "Time limit", "The file takes longer than a file may. Convert it to WAV or FLAC."
    ),
    errors.JobMemoryLimitError: Problem(
        "memory-limit", 422, "Memory limit", "The file needs more memory than a file may. Convert it to FLAC."
    ),
    errors.InferenceCrashedError: Problem(
        "process-died",
        422,
        "Process died",
        "The process that looked into the file died, most likely of the file. Convert it to WAV or FLAC.",
    ),
    errors.InferenceError: _away(
        "inspection-unavailable", "Inspection unavailable", "Files cannot be looked into now."
    ),
}

HTTP_PROBLEMS: Mapping[int, Problem] = {
    400: Problem("malformed-request", 400, "Malformed request", "The request cannot be understood."),
    404: Problem("not-found", 404, "Not found", "There is nothing here. Check the path."),
    405: Problem("method-not-allowed", 405, "Method not allowed", "This cannot be done here. See Allow."),
    406: Problem(
        "not-acceptable", 406, "Not acceptable", "It cannot be given in the form that is asked for."
    ),
    413: Problem("too-large", 413, "Too large", "The request has more bytes than are taken."),
    415: Problem("unsupported-type", 415, "Unsupported type", "The body is of a kind that is not taken."),
}
"""Of what the framework itself refuses, by its status."""


def problem_of(error: type[errors.SpleeterError]) -> Problem:
    """Give the problem of an error's class, or of the nearest class above."""
    return next(PROBLEMS[kind] for kind in error.__mro__ if kind in PROBLEMS)


def problem_of_failure(kind: str) -> Problem:
    """Give the problem of a job's error: the caller's if its type is that of a wrong file, else ours."""
    name = kind.removeprefix("/problems/") or "separation-failed"
    for problem in PROBLEMS.values():
        if problem.name == name and problem.status < 500:
            return replace(problem, detail=None)  # the job's message says more
    return replace(PROBLEMS[errors.SeparationFailedError], name=name)
