"""Every error that this package raises on purpose, with what each interface reports for it.

To add an error, write a class here and run ``make docs``. docs/errors.md lists all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar

_RETRY_SOON = 5  # seconds; a restart mostly ends an outage


@dataclass(frozen=True)
class Facts:
    """What the interfaces report for a class of errors.

    Attributes:
        code: stable name for programs, in problem types and in the errors of jobs.
        http: HTTP status of the response.
        exit_status: exit status of the command line.
        public: text shown to HTTP callers instead of the message, which may name paths, addresses or
            other internals. None if the message is written for callers.
        title: the same few words for every occurrence; the words of ``code`` if empty.
        retry_after: seconds after which an HTTP caller may try again.
    """

    code: str
    http: int = 500
    exit_status: int = 1
    public: str | None = None
    title: str = ""
    retry_after: int | None = None

    def __post_init__(self) -> None:
        if not self.title:
            object.__setattr__(self, "title", self.code.replace("-", " ").capitalize())


class SpleeterError(Exception):
    """Base class of all errors that this package raises on purpose.

    Attributes:
        fields: what is wrong with each field of the request that is at fault, by its path, such as
            ``metadata.title``.
    """

    fields: Mapping[str, str] = MappingProxyType({})

    facts: ClassVar[Facts] = Facts(
        "internal-error",
        public="The service failed. If this happens again, report the request id to the operator.",
    )


class ConfigurationError(SpleeterError):
    """An option, a setting or a configuration file is wrong."""

    facts = replace(SpleeterError.facts, exit_status=2)

    def report(self) -> str:
        """Return the message for a terminal: one line for each thing that is wrong."""
        return "\n".join(f"Error: {line}" for line in str(self).splitlines())


class AudioError(SpleeterError):
    """Audio cannot be read or written."""


class InputError(AudioError):
    """The input cannot be separated."""

    facts = Facts("unusable-audio", http=422, public="The file cannot be separated.")


class UnreadableInputError(InputError):
    """The input file is missing, is a directory or may not be read."""

    facts = replace(InputError.facts, exit_status=10)


class EmptyInputError(InputError):
    """The input file has no bytes."""

    facts = Facts(
        "empty-file",
        http=422,
        exit_status=11,
        public="The file has no bytes. Check that it was read completely.",
    )


class NotAudioError(InputError):
    """The input is not in an audio format that this program can read."""

    facts = Facts(
        "not-audio",
        http=415,
        exit_status=12,
        public="The file is not in a known audio format, whatever its name. "
        "Send WAV, FLAC, MP3, M4A, Ogg or Opus.",
    )


class NoAudioStreamError(InputError):
    """The input is a media file without sound."""

    facts = Facts(
        "no-sound",
        http=415,
        exit_status=13,
        public="The file is a media file without sound. Send one with an audio track.",
    )


class EncryptedInputError(InputError):
    """The input is protected by DRM."""

    facts = Facts(
        "encrypted-audio",
        http=422,
        exit_status=14,
        public="The file is protected by DRM. Send one that is not.",
    )


class TruncatedInputError(InputError):
    """The input is damaged, or ends earlier than it announces."""

    facts = Facts(
        "truncated-audio",
        http=422,
        exit_status=15,
        public="The file is damaged, or ends earlier than it announces. Check that it plays to its end.",
    )


class NoSamplesError(InputError):
    """The input, or the selected part of it, has a length of zero."""

    facts = Facts(
        "no-samples",
        http=422,
        exit_status=16,
        public="The song, or the selected part of it, has a length of zero. Check offset and duration.",
    )


class InvalidSamplesError(InputError):
    """The input has samples that are not finite numbers."""

    facts = Facts(
        "invalid-samples",
        http=422,
        exit_status=17,
        public="The file has samples that are not finite numbers. Export it again.",
    )


class NoSuchTrackError(InputError):
    """The input does not have the sound track that was chosen."""

    facts = Facts("no-such-track", http=422, exit_status=18)  # the message lists the tracks that it has


class OutputError(AudioError):
    """The stems cannot be written."""


class UnwritableOutputError(OutputError):
    """The output directory cannot be written to."""

    facts = replace(OutputError.facts, exit_status=20)


class DiskFullError(OutputError):
    """The disk has no space left."""

    facts = Facts(
        "disk-full",
        http=507,
        exit_status=21,
        public="The service has no disk space left. Try again later; if this lasts, tell its operator.",
        retry_after=_RETRY_SOON,
    )


class EncodingError(OutputError):
    """The encoder failed."""

    facts = replace(OutputError.facts, exit_status=22)


class ConflictingPathsError(OutputError):
    """Two stems would be written to the same file."""

    facts = replace(OutputError.facts, exit_status=23)


class ModelError(SpleeterError):
    """A model cannot be used."""


class UnknownModelError(ModelError):
    """No model has this name."""

    facts = replace(ModelError.facts, exit_status=30)


class ModelNotInstalledError(ModelError):
    """The model is known but not installed."""

    facts = Facts(
        "model-not-installed",
        http=503,
        exit_status=31,
        public="No worker has a model for this number of stems at the moment. "
        "GET /v1/models lists the installed models.",
        retry_after=60,
    )


class ModelCorruptError(ModelError):
    """Files of an installed model have changed since the installation."""

    facts = replace(ModelError.facts, exit_status=32)


class CheckpointError(ModelError):
    """Weights are missing, do not fit the network or fail their checksums."""

    facts = replace(ModelError.facts, exit_status=33)


class ArchiveError(ModelError):
    """An archive is unsafe to unpack, or holds no model."""

    facts = replace(ModelError.facts, exit_status=34)


class DownloadError(ModelError):
    """A download failed."""

    facts = replace(ModelError.facts, exit_status=35)


class StorageError(SpleeterError):
    """An object cannot be stored or read."""


class StorageUnavailableError(StorageError):
    """The object store does not answer."""

    facts = Facts(
        "storage-unavailable",
        http=503,
        exit_status=40,
        public="The object store does not answer. Try again shortly.",
        retry_after=_RETRY_SOON,
    )


class StorageRefusedError(StorageUnavailableError):
    """The credentials of the object store lack a right."""

    facts = replace(StorageUnavailableError.facts, exit_status=45)


class StorageFullError(StorageUnavailableError):
    """The object store has no space left."""

    facts = replace(DiskFullError.facts, exit_status=46)


class ObjectNotFoundError(StorageError):
    """No object has this key."""

    facts = Facts("not-found", http=404, exit_status=41, public="The file does not exist, or has expired.")


class ObjectTooLargeError(StorageError):
    """An object has more bytes than the limit."""

    facts = replace(StorageError.facts, exit_status=42)


class ObjectChangedError(StorageError):
    """The object was replaced while it was being read."""

    facts = replace(StorageError.facts, exit_status=43)


class InvalidObjectKeyError(StorageError):
    """The text is not a valid object key."""

    facts = replace(StorageError.facts, exit_status=44)


class InferenceError(SpleeterError):
    """A confined process failed to probe or separate a file, for reasons other than its audio."""

    facts = Facts(
        "inspection-unavailable",
        http=503,
        public="Uploads cannot be inspected at the moment. Try again shortly.",
        retry_after=_RETRY_SOON,
    )


class JobTimeLimitError(InferenceError):
    """The file took longer than the time limit."""

    facts = Facts(
        "time-limit",
        http=422,
        exit_status=50,
        public="The file takes longer than the time limit. Convert it to WAV or FLAC.",
    )


class JobMemoryLimitError(InferenceError):
    """The file needed more memory than the limit."""

    facts = Facts(
        "memory-limit",
        http=422,
        exit_status=51,
        public="The file needs more memory than the limit. Convert it to FLAC.",
    )


class JobStoppedError(InferenceError):
    """The separation was stopped on request."""

    facts = replace(InferenceError.facts, exit_status=52)


class InferenceCrashedError(InferenceError):
    """The confined process that handled the file crashed, or sent an invalid reply.

    Attributes:
        signal: number of the signal that ended the process, or None.
    """

    facts = Facts(
        "process-died",
        http=422,
        exit_status=53,
        public="The process that inspected the file crashed, most likely because of the file. "
        "Convert it to WAV or FLAC.",
    )

    def __init__(self, message: str, signal: int | None = None) -> None:
        super().__init__(message)
        self.signal = signal


class InferenceUnavailableError(InferenceError):
    """No confined process is running, and none can be started."""

    facts = replace(InferenceError.facts, exit_status=54)


class ProcessorError(InferenceError):
    """The processor is too old for the libraries."""

    facts = replace(InferenceError.facts, exit_status=98)


class SelfCheckError(InferenceError):
    """The stems of the reference clip differ from the expected ones."""

    facts = replace(InferenceError.facts, exit_status=55)


class SecurityError(SpleeterError):
    """A caller, a file or an address is refused."""


class AuthenticationError(SecurityError):
    """The caller's identity is not known.

    Attributes:
        reason: one word for the audit log; the message may be shown to the caller.
    """

    facts = Facts("unauthenticated", http=401)

    def __init__(self, message: str, *, reason: str = "missing") -> None:
        super().__init__(message)
        self.reason = reason


class InvalidKeyError(AuthenticationError):
    """The API key is mistyped, unknown, expired or revoked."""

    facts = replace(AuthenticationError.facts, exit_status=60)


class InvalidTokenError(AuthenticationError):
    """The bearer token is not one that this service accepts.

    Attributes:
        problem: which field or claim is wrong and how, for the operator's log.
    """

    facts = replace(AuthenticationError.facts, exit_status=61)

    def __init__(self, message: str, *, reason: str = "missing", problem: str = "") -> None:
        super().__init__(message, reason=reason)
        self.problem = problem


class TokenKeysUnavailableError(SecurityError):
    """The token issuer's public keys cannot be fetched.

    Attributes:
        retry_after: seconds until the keys may be fetched again.
    """

    facts = Facts(
        "issuer-unavailable",
        http=503,
        exit_status=62,
        public="Tokens cannot be checked at the moment; API keys can. Try again shortly.",
    )

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class MissingScopeError(SecurityError):
    """The caller's key or token does not allow this.

    Attributes:
        scope: the missing scope.
    """

    facts = Facts("missing-scope", http=403, exit_status=63)

    def __init__(self, message: str, scope: str) -> None:
        super().__init__(message)
        self.scope = scope


class UnknownKeyError(SecurityError):
    """No API key has this id."""

    facts = replace(SecurityError.facts, exit_status=64)


class RateLimitError(SecurityError):
    """The tenant sent too many requests, or the address made too many failed attempts.

    Attributes:
        retry_after: whole seconds until the next request is allowed, at least 1.
    """

    facts = Facts("too-many-requests", http=429, exit_status=65)

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class AntivirusError(SecurityError):
    """The virus scanner did not find a file clean."""


class InfectedError(AntivirusError):
    """The virus scanner found a virus.

    Attributes:
        signature: the scanner's name for the virus.
    """

    facts = Facts("infected-file", http=422, exit_status=66)

    def __init__(self, message: str, signature: str) -> None:
        super().__init__(message)
        self.signature = signature


class ScannerUnavailableError(AntivirusError):
    """The virus scanner cannot be reached, or returns no verdict."""

    facts = Facts(
        "scanner-unavailable",
        http=503,
        exit_status=67,
        public="Files cannot be scanned for viruses at the moment. Try again shortly.",
        retry_after=_RETRY_SOON,
    )


class ScanLimitError(AntivirusError):
    """The file is larger, or nested more deeply, than the virus scanner is configured to scan."""

    facts = Facts("beyond-scanner", http=422, exit_status=68, title="Beyond what is scanned")


class OutgoingError(SecurityError):
    """A request to a URL from a caller was refused or failed."""


class ForbiddenAddressError(OutgoingError):
    """The URL leads to an address that this service does not call."""

    facts = Facts("forbidden-address", http=422, exit_status=69)


class UnreachableError(OutgoingError):
    """The server of the URL cannot be reached, or did not respond correctly.

    Attributes:
        status: HTTP status of its response, or None without one.
    """

    facts = Facts(
        "unreachable-source",
        http=422,
        exit_status=70,
        public="The file cannot be fetched: the server of source_url is down, slow, or has no such file.",
    )

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ResponseTooLargeError(OutgoingError):
    """The server of the URL sent more bytes than the limit."""

    facts = Facts("too-large", http=413, exit_status=71)


class AuditError(SecurityError):
    """The audit log cannot be written or trusted."""


class AuditUnwritableError(AuditError):
    """The audit log cannot be written."""

    facts = Facts(
        "audit-unwritable",
        http=503,
        exit_status=73,  # 72 belonged to an error that no longer exists
        public="The audit log cannot be written, so the request was not carried out. Try again shortly.",
        title="Audit log unwritable",
        retry_after=_RETRY_SOON,
    )


class AuditDiskFullError(AuditUnwritableError):
    """The disk of the audit log has no space left."""

    facts = replace(DiskFullError.facts, exit_status=75)


class AuditBrokenError(AuditError):
    """Records of the audit log were changed, removed or moved."""

    facts = replace(AuditError.facts, exit_status=74)


class JobError(SpleeterError):
    """A job cannot be created, found or processed."""


class DatabaseError(JobError):
    """The database cannot be used."""


class DatabaseUnavailableError(DatabaseError):
    """The database does not answer, or went away during a transaction."""

    facts = Facts(
        "database-unavailable",
        http=503,
        exit_status=80,
        public="The database does not answer. Try again shortly.",
        retry_after=_RETRY_SOON,
    )


class DatabaseFullError(DatabaseUnavailableError):
    """The disk of the database has no space left."""

    facts = replace(DiskFullError.facts, exit_status=88)


class DatabaseTooNewError(DatabaseError):
    """The database was migrated by a newer version of this program."""

    facts = replace(DatabaseError.facts, exit_status=81)


class DatabaseStartError(DatabaseError):
    """The embedded database does not start or stop."""

    facts = replace(DatabaseError.facts, exit_status=82)


class DatabaseInUseError(DatabaseError):
    """Another process has started the embedded database of this data directory."""

    facts = replace(DatabaseError.facts, exit_status=83)


class UnknownJobError(JobError):
    """The tenant has no such job, or it has expired."""

    facts = Facts("unknown-separation", http=404, exit_status=84)


class IdempotencyConflictError(JobError):
    """An idempotency key was sent again with a different body."""

    facts = Facts("idempotency-conflict", http=422, exit_status=85)


class QueueFullError(JobError):
    """The tenant has as many queued jobs as the limit allows."""

    facts = Facts("queue-full", http=429, exit_status=86, retry_after=30)


class InvalidCursorError(JobError):
    """A cursor is not one that a page of jobs returned."""

    facts = Facts("invalid-cursor", http=422, exit_status=87)


class EvaluationError(SpleeterError):
    """A separation cannot be scored."""


class NoSongsError(EvaluationError):
    """The directory has no songs with stems."""

    facts = replace(EvaluationError.facts, exit_status=90)


class AmbiguousStemError(EvaluationError):
    """A song has two files for one stem."""

    facts = replace(EvaluationError.facts, exit_status=91)


class UnknownStemError(EvaluationError):
    """A song has no reference for any of the separated stems."""

    facts = replace(EvaluationError.facts, exit_status=92)


class StemLengthError(EvaluationError):
    """A song's references, estimates and mixture differ in length."""

    facts = replace(EvaluationError.facts, exit_status=93)


class MissingEstimateError(EvaluationError):
    """A song has no estimates."""

    facts = replace(EvaluationError.facts, exit_status=94)


class TrainingError(SpleeterError):
    """A model cannot be trained."""


class TrainingDataError(TrainingError):
    """A list of stems, or a song, cannot be trained on."""

    facts = replace(TrainingError.facts, exit_status=95)


class TrainingStateError(TrainingError):
    """The output directory holds a broken training state, or one of another model."""

    facts = replace(TrainingError.facts, exit_status=96)


class TrainingDivergedError(TrainingError):
    """The loss is no longer a finite number."""

    facts = replace(TrainingError.facts, exit_status=97)


class RequestError(SpleeterError):
    """An HTTP request cannot be carried out."""


class MalformedRequestError(RequestError):
    """The request cannot be parsed: its form, its JSON or its headers are malformed."""

    facts = Facts("malformed-request", http=400)


class InvalidFieldsError(RequestError):
    """Fields of the request are missing, unknown or wrong."""

    facts = Facts("invalid-fields", http=422)

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__(" ".join(f"{field}: {reason}" for field, reason in fields.items()))
        self.fields = fields


class CredentialsError(RequestError):
    """The request has no credentials, or two that differ."""

    facts = AuthenticationError.facts


class WrongHostError(RequestError):
    """The request names a host that this service does not answer for."""

    facts = Facts("wrong-host", http=421)


class RequestTooLargeError(RequestError):
    """The request has more bytes than the limit."""

    facts = Facts("too-large", http=413)


class HeadersTooLargeError(RequestError):
    """The request line and the headers have more bytes than the limit."""

    facts = Facts("headers-too-large", http=431)


class RequestTooSlowError(RequestError):
    """The request's body stopped arriving."""

    facts = Facts("too-slow", http=408)


class UnsupportedTypeError(RequestError):
    """The body is neither a form nor JSON, or the operator does not accept this type of file."""

    facts = Facts("unsupported-type", http=415)


class SongTooLongError(RequestError):
    """The song is longer than the limit. Select a part with ``offset`` and ``duration``."""

    facts = Facts("too-long", http=422)


class NotReadyError(RequestError):
    """The separation has no result, either not yet or because it did not succeed; see its state."""

    facts = Facts("not-ready", http=409)


class NoSuchStemError(RequestError):
    """The separation has no stem of this name."""

    facts = Facts("unknown-stem", http=404)


class UnsatisfiableRangeError(RequestError):
    """The requested range begins beyond the end of the file.

    Attributes:
        headers: response headers with the size of the file.
    """

    facts = Facts("unsatisfiable-range", http=416)

    def __init__(self, message: str, size: int) -> None:
        super().__init__(message)
        self.headers = {"Content-Range": f"bytes */{size}"}


class SeparationFailedError(RequestError):
    """The separation that the caller waited for failed.

    Attributes:
        type: problem type of the job's error.
    """

    facts = Facts("separation-failed")

    def __init__(self, message: str, type: str) -> None:  # noqa: A002 - the job's own word
        super().__init__(message)
        self.type = type


class StillRunningError(RequestError):
    """The separation was still running when the caller's wait ended; it continues.

    Attributes:
        headers: response headers with the location of the separation.
    """

    def __init__(self, message: str, location: str) -> None:
        super().__init__(message)
        self.headers = {"Location": location}


class WaitedTooLongError(StillRunningError):
    """The separation takes longer than a request may wait; it continues."""

    facts = Facts("still-running", http=504)


class StoppingError(StillRunningError):
    """The service is stopping while the caller waits; the separation continues later."""

    facts = Facts("stopping", http=503, retry_after=_RETRY_SOON)


def without_passwords(text: str) -> str:
    """Return a text without the user names and passwords of the URLs in it, for messages and manifests."""
    return re.sub(r"://[^/\s]*@", "://", text)


def error_classes(base: type[SpleeterError] = SpleeterError) -> Iterator[type[SpleeterError]]:
    """Yield an error class and all classes below it, each before its subclasses."""
    yield base
    for subclass in base.__subclasses__():
        yield from error_classes(subclass)
