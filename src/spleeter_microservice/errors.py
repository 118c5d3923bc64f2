"""Every error that this package raises on purpose, with what each interface reports for it.

To add an error, write a class here and run ``make docs``. docs/errors.md lists all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

_RETRY_SOON = 5  # seconds; a restart usually ends an outage


class SpleeterError(Exception):
    """Base class of all errors that this package raises on purpose.

    Subclasses inherit the attributes. They state only those that differ: the code and the statuses in
    the class statement, the others in the class.

    Attributes:
        code: stable name for programs, in problem types and in the errors of jobs.
        http: HTTP status of the response.
        exit_status: exit status of the command line.
        public: text shown to HTTP callers instead of the message, which may name paths, addresses or
            other internals; empty if the message is written for callers.
        title: the same few words for every occurrence; the words of ``code`` if empty.
        retry_after: seconds after which an HTTP caller may try again; 0 if that would not help.
        fields: what is wrong with each field of the request that is at fault, by its path, such as
            ``metadata.title``.
    """

    code = "internal-error"
    http = 500
    exit_status = 1
    public = "The service failed. If this happens again, report the request id to the operator."
    title = ""
    retry_after = 0
    fields: Mapping[str, str] = MappingProxyType({})

    def __init_subclass__(
        cls, code: str | None = None, http: int | None = None, exit_status: int | None = None
    ) -> None:
        """Set what the class statement states."""
        super().__init_subclass__()
        cls.code, cls.http = code or cls.code, http or cls.http
        cls.exit_status = exit_status or cls.exit_status


class _Full:
    """What HTTP callers are told about a full disk, whatever it holds."""

    code = "disk-full"
    http = 507
    public = "The service has no disk space left. Try again later; if this lasts, tell its operator."
    title = "Disk full"
    retry_after = _RETRY_SOON


class ConfigurationError(SpleeterError, exit_status=2):
    """An option, a setting or a configuration file is wrong."""

    def report(self) -> str:
        """Return the message for a terminal: one line for each thing that is wrong."""
        return "\n".join(f"Error: {line}" for line in str(self).splitlines())


class AudioError(SpleeterError):
    """Audio cannot be read or written."""


class InputError(AudioError, code="unusable-audio", http=422):
    """The input cannot be separated."""

    public = "The file cannot be separated."


class UnreadableInputError(InputError, exit_status=10):
    """The input file is missing, is a directory or may not be read."""


class EmptyInputError(InputError, code="empty-file", exit_status=11):
    """The input file has no bytes."""

    public = "The file has no bytes. Check that it was read completely."


class NotAudioError(InputError, code="not-audio", http=415, exit_status=12):
    """The input is not in an audio format that this program can read."""

    public = (
        "The file is not in a known audio format, whatever its name. Send WAV, FLAC, MP3, M4A, Ogg or Opus."
    )


class NoAudioStreamError(InputError, code="no-sound", http=415, exit_status=13):
    """The input is a media file without sound."""

    public = "The file is a media file without sound. Send one with an audio track."


class EncryptedInputError(InputError, code="encrypted-audio", exit_status=14):
    """The input is protected by DRM."""

    public = "The file is protected by DRM. Send one that is not."


class TruncatedInputError(InputError, code="truncated-audio", exit_status=15):
    """The input is damaged, or ends earlier than it announces."""

    public = "The file is damaged, or ends earlier than it announces. Check that it plays to its end."


class NoSamplesError(InputError, code="no-samples", exit_status=16):
    """The input, or the selected part of it, has a length of zero."""

    public = "The song, or the selected part of it, has a length of zero. Check offset and duration."


class InvalidSamplesError(InputError, code="invalid-samples", exit_status=17):
    """The input has samples that are not finite numbers within ±1e13."""

    public = "The file has samples that are not finite numbers within ±1e13. Export it again."


class NoSuchTrackError(InputError, code="no-such-track", exit_status=18):
    """The input does not have the sound track that was chosen."""

    public = ""  # the message lists the tracks that it has


class NoPicturesError(InputError, code="no-pictures", exit_status=106):
    """A film was asked for, but the input has no pictures, or only a cover."""

    public = "The file is not a film: it has no pictures. Leave video out."


class OutputError(AudioError):
    """The stems cannot be written."""


class UnwritableOutputError(OutputError, exit_status=20):
    """The output directory cannot be written to."""


class DiskFullError(_Full, OutputError, exit_status=21):
    """The disk has no space left."""


class EncodingError(OutputError, exit_status=22):
    """The encoder failed."""


class ConflictingPathsError(OutputError, exit_status=23):
    """Two stems would be written to the same file."""


class ModelError(SpleeterError):
    """A model cannot be used."""


class UnknownModelError(ModelError, exit_status=30):
    """No model has this name."""


class ModelNotInstalledError(ModelError, code="model-not-installed", http=503, exit_status=31):
    """The model is known but not installed."""

    public = "No worker has such a model at the moment. GET /v1/models lists the installed models."
    retry_after = 60


class ModelCorruptError(ModelError, exit_status=32):
    """Files of an installed model have changed since the installation."""


class CheckpointError(ModelError, exit_status=33):
    """Weights are missing, do not fit the network or fail their checksums."""


class ArchiveError(ModelError, exit_status=34):
    """An archive is unsafe to unpack, or holds no model."""


class DownloadError(ModelError, exit_status=35):
    """A download failed."""


class StorageError(SpleeterError):
    """An object cannot be stored or read."""


class StorageUnavailableError(StorageError, code="storage-unavailable", http=503, exit_status=40):
    """The object store does not answer."""

    public = "The object store does not answer. Try again shortly."
    retry_after = _RETRY_SOON


class StorageRefusedError(StorageUnavailableError, exit_status=45):
    """The credentials of the object store lack a right."""


class StorageFullError(_Full, StorageUnavailableError, exit_status=46):
    """The object store has no space left."""


class ObjectNotFoundError(StorageError, code="not-found", http=404, exit_status=41):
    """No object has this key."""

    public = "The file does not exist, or has expired."


class ObjectTooLargeError(StorageError, exit_status=42):
    """An object has more bytes than the limit."""


class ObjectChangedError(StorageError, exit_status=43):
    """The object was replaced while it was being read."""


class InvalidObjectKeyError(StorageError, exit_status=44):
    """The text is not a valid object key."""


class InferenceError(SpleeterError, code="inspection-unavailable", http=503):
    """A confined process failed to probe or separate a file, for reasons other than its audio."""

    public = "Uploads cannot be inspected at the moment. Try again shortly."
    retry_after = _RETRY_SOON


class JobTimeLimitError(InferenceError, code="time-limit", http=422, exit_status=50):
    """The file took longer than the time limit."""

    public = "The file takes longer than the time limit. Convert it to WAV or FLAC."
    retry_after = 0


class JobMemoryLimitError(InferenceError, code="memory-limit", http=422, exit_status=51):
    """The file needed more memory than the limit."""

    public = "The file needs more memory than the limit. Convert it to FLAC."
    retry_after = 0


class JobStoppedError(InferenceError, exit_status=52):
    """The separation was stopped on request."""


class InferenceCrashedError(InferenceError, code="process-died", http=422, exit_status=53):
    """The confined process that handled the file crashed, or sent an invalid reply.

    Attributes:
        signal: number of the signal that ended the process, or None.
    """

    public = (
        "The process that inspected the file crashed, most likely because of the file. "
        "Convert it to WAV or FLAC."
    )
    retry_after = 0

    def __init__(self, message: str, signal: int | None = None) -> None:
        super().__init__(message)
        self.signal = signal


class InferenceStalledError(InferenceCrashedError, exit_status=56):
    """The confined process that handled the file stopped making progress, and was ended."""


class InferenceUnavailableError(InferenceError, exit_status=54):
    """No confined process is running, and none can be started."""


class ProcessorError(InferenceError, exit_status=98):
    """The processor is too old for the libraries."""


class SelfCheckError(InferenceError, exit_status=55):
    """The stems of the reference clip differ from the expected ones."""


class SecurityError(SpleeterError):
    """A caller, a file or an address is refused."""


class AuthenticationError(SecurityError, code="unauthenticated", http=401):
    """The caller's identity is not known.

    Attributes:
        reason: one word for the audit log; the message may be shown to the caller.
    """

    public = ""

    def __init__(self, message: str, *, reason: str = "missing") -> None:
        super().__init__(message)
        self.reason = reason


class InvalidKeyError(AuthenticationError, exit_status=60):
    """The API key is mistyped, unknown, expired or revoked."""


class InvalidTokenError(AuthenticationError, exit_status=61):
    """The bearer token is not one that this service accepts.

    Attributes:
        problem: which field or claim is wrong and how, for the operator's log.
    """

    def __init__(self, message: str, *, reason: str = "missing", problem: str = "") -> None:
        super().__init__(message, reason=reason)
        self.problem = problem


class TokenKeysUnavailableError(SecurityError, code="issuer-unavailable", http=503, exit_status=62):
    """The token issuer's public keys cannot be fetched.

    Attributes:
        retry_after: seconds until the keys may be fetched again.
    """

    public = "Tokens cannot be checked at the moment; API keys can. Try again shortly."

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class MissingScopeError(SecurityError, code="missing-scope", http=403, exit_status=63):
    """The caller's key or token does not allow this.

    Attributes:
        scope: the missing scope.
    """

    public = ""

    def __init__(self, message: str, scope: str) -> None:
        super().__init__(message)
        self.scope = scope


class UnknownKeyError(SecurityError, exit_status=64):
    """No API key has this id."""


class RateLimitError(SecurityError, code="too-many-requests", http=429, exit_status=65):
    """The tenant sent too many requests, or the address made too many failed attempts.

    Attributes:
        retry_after: whole seconds until the next request is allowed, at least 1.
    """

    public = ""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class AntivirusError(SecurityError):
    """The virus scanner did not find a file clean."""


class InfectedError(AntivirusError, code="infected-file", http=422, exit_status=66):
    """The virus scanner found a virus.

    Attributes:
        signature: the scanner's name for the virus.
    """

    public = ""

    def __init__(self, message: str, signature: str) -> None:
        super().__init__(message)
        self.signature = signature


class ScannerUnavailableError(AntivirusError, code="scanner-unavailable", http=503, exit_status=67):
    """The virus scanner cannot be reached, or returns no verdict."""

    public = "Files cannot be scanned for viruses at the moment. Try again shortly."
    retry_after = _RETRY_SOON


class ScanLimitError(AntivirusError, code="beyond-scanner", http=422, exit_status=68):
    """The file is larger, or nested more deeply, than the virus scanner is configured to scan."""

    public = ""
    title = "Beyond what is scanned"


class OutgoingError(SecurityError):
    """A request to a URL from a caller was refused or failed."""


class ForbiddenAddressError(OutgoingError, code="forbidden-address", http=422, exit_status=69):
    """The URL leads to an address that this service does not call."""

    public = ""


class UnreachableError(OutgoingError, code="unreachable-source", http=422, exit_status=70):
    """The server of the URL cannot be reached, or did not respond correctly.

    Attributes:
        status: HTTP status of its response, or None without one.
    """

    public = "The file cannot be fetched: the server of source_url is down, slow, or has no such file."

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ResponseTooLargeError(OutgoingError, code="too-large", http=413, exit_status=71):
    """The server of the URL sent more bytes than the limit."""

    public = ""


class BucketError(OutgoingError, code="unreachable-bucket", http=422, exit_status=76):
    """A bucket, or an object in it, cannot be read or written.

    Attributes:
        temporary: whether to try again.
    """

    public = ""

    def __init__(self, message: str, *, temporary: bool = False) -> None:
        super().__init__(message)
        self.temporary = temporary


class AuditError(SecurityError):
    """The audit log cannot be written or trusted."""


# The exit status 72 belonged to an error that no longer exists.
class AuditUnwritableError(AuditError, code="audit-unwritable", http=503, exit_status=73):
    """The audit log cannot be written."""

    public = "The audit log cannot be written, so the request was not carried out. Try again shortly."
    retry_after = _RETRY_SOON
    title = "Audit log unwritable"


class AuditDiskFullError(_Full, AuditUnwritableError, exit_status=75):
    """The disk of the audit log has no space left."""


class AuditBrokenError(AuditError, exit_status=74):
    """Records of the audit log were changed, removed or moved."""


class JobError(SpleeterError):
    """A job cannot be created, found or processed."""


class DatabaseError(JobError):
    """The database cannot be used."""


class DatabaseUnavailableError(DatabaseError, code="database-unavailable", http=503, exit_status=80):
    """The database does not answer, or went away during a transaction."""

    public = "The database does not answer. Try again shortly."
    retry_after = _RETRY_SOON


class DatabaseFullError(_Full, DatabaseUnavailableError, exit_status=88):
    """The disk of the database has no space left."""


class DatabaseTooNewError(DatabaseError, exit_status=81):
    """The database was migrated by a newer version of this program."""


class DatabaseStartError(DatabaseError, exit_status=82):
    """The embedded database does not start or stop."""


class DatabaseInUseError(DatabaseError, exit_status=83):
    """Another process has started the embedded database of this data directory."""


class UnknownJobError(JobError, code="unknown-separation", http=404, exit_status=84):
    """The tenant has no such job, or it has expired."""

    public = ""


class IdempotencyConflictError(JobError, code="idempotency-conflict", http=422, exit_status=85):
    """An idempotency key was sent again with a different body."""

    public = ""


class InvalidCursorError(JobError, code="invalid-cursor", http=422, exit_status=87):
    """A cursor is not one that a page of jobs returned."""

    public = ""


class EvaluationError(SpleeterError):
    """A separation cannot be scored."""


class NoSongsError(EvaluationError, exit_status=90):
    """The directory has no songs with stems."""


class AmbiguousStemError(EvaluationError, exit_status=91):
    """A song has two files for one stem."""


class UnknownStemError(EvaluationError, exit_status=92):
    """A song has no reference for any of the separated stems."""


class StemLengthError(EvaluationError, exit_status=93):
    """A song's references, estimates and mixture differ in length."""


class MissingEstimateError(EvaluationError, exit_status=94):
    """A song has no estimates."""


class TrainingError(SpleeterError):
    """A model cannot be trained."""


class TrainingDataError(TrainingError, exit_status=95):
    """A list of stems, or a song, cannot be trained on."""


class TrainingStateError(TrainingError, exit_status=96):
    """The output directory holds a broken training state, or one of another model."""


class TrainingDivergedError(TrainingError, exit_status=97):
    """The loss is no longer a finite number."""


class RequestError(SpleeterError):
    """An HTTP request cannot be carried out."""

    public = ""


class MalformedRequestError(RequestError, code="malformed-request", http=400):
    """The request cannot be parsed: its form, its JSON or its headers are malformed."""


class UnknownPathError(RequestError, code="not-found", http=404):
    """Nothing exists at the path of the request."""


class MethodNotAllowedError(RequestError, code="method-not-allowed", http=405):
    """The path does not allow the method of the request; ``Allow`` lists those that it allows."""


class InvalidFieldsError(RequestError, code="invalid-fields", http=422):
    """Fields of the request are missing, unknown or wrong."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__(" ".join(f"{field}: {reason}" for field, reason in fields.items()))
        self.fields = fields


class CredentialsError(RequestError, code="unauthenticated", http=401):
    """The request has no credentials, or two that differ."""


class WrongHostError(RequestError, code="wrong-host", http=421):
    """The request names a host that this service does not answer for."""


class RequestTooLargeError(RequestError, code="too-large", http=413):
    """The request has more bytes than the limit."""


class HeadersTooLargeError(RequestError, code="headers-too-large", http=431):
    """The request line and the headers have more bytes than the limit, or the headers are too many."""


class RequestTooSlowError(RequestError, code="too-slow", http=408):
    """The request's body stopped arriving."""


class UnsupportedTypeError(RequestError, code="unsupported-type", http=415):
    """The body is neither a form nor JSON, or the operator does not accept this type of file."""


class SongTooLongError(RequestError, code="too-long", http=422):
    """The song is longer than the limit. Select a part with ``offset`` and ``duration``."""


class ShareError(RequestError, code="too-much", http=429):
    """The tenant holds as much of something as it may at the moment.

    Attributes:
        what: what it holds.
        advice: what to do.
    """

    retry_after = _RETRY_SOON
    what = "of this"
    advice = "Wait until one ends."


class TooManyUploadsError(ShareError, code="too-many-uploads"):
    """As many of the tenant's songs are being received and checked as the limit allows."""

    what = "uploads under way"


class TooManyFetchesError(ShareError, code="too-many-fetches"):
    """As many of the tenant's songs are being fetched from their URLs as the limit allows."""

    what = "fetches of source_url under way"


class TooManyDownloadsError(ShareError, code="too-many-downloads"):
    """The tenant has as many downloads, or waiting calls, under way as the limit allows."""

    what = "downloads or waiting calls under way"


class TooManyStreamsError(ShareError, code="too-many-streams"):
    """The tenant has as many event streams open as the limit allows."""

    what = "event streams open"


class QueueFullError(ShareError, code="queue-full", exit_status=86):
    """The tenant has as many queued jobs as the limit allows."""

    retry_after = 30
    what = "separations queued"
    advice = "Wait until some of them have started, or delete some."


class QueueTooLongError(QueueFullError, code="queue-too-long"):
    """The tenant has as much audio in the queue as the limit allows."""

    what = "seconds of audio queued"


class StoredTooMuchError(ShareError, code="stored-too-much"):
    """The tenant's songs and stems, with those that unfinished jobs will have, reach the limit in bytes."""

    retry_after = 60
    what = "bytes stored or expected"
    advice = "Delete separations, or wait until some expire."


class WebhooksPendingError(ShareError, code="webhooks-pending"):
    """The tenant has as many webhooks to be delivered, now or when jobs end, as the limit allows."""

    retry_after = 60
    what = "webhooks pending"
    advice = "Check that callback_url answers, or leave it out."


class SignedUrlError(RequestError, code="invalid-signature", http=403):
    """The signature of an address is wrong: it was changed, or its key is no longer in use."""


class ExpiredUrlError(SignedUrlError, code="expired-address", http=410):
    """The time of a signed address has passed."""


class UploadsPendingError(ShareError, code="uploads-pending"):
    """The tenant has as many resumable uploads as the limit allows."""

    retry_after = 60
    what = "resumable uploads"
    advice = "Use or delete some, or wait until they expire."


class UnknownUploadError(RequestError, code="unknown-upload", http=404):
    """The tenant has no such resumable upload, or it was used, or has expired."""


class UploadOffsetError(RequestError, code="wrong-offset", http=409):
    """A part of a resumable upload does not begin where the upload ends."""


class UploadLockedError(RequestError, code="upload-locked", http=423):
    """Another request is changing the resumable upload."""

    retry_after = 1


class UploadFinalError(RequestError, code="upload-final", http=403):
    """The resumable upload consists of others, so that nothing can be added to it."""


class ChecksumMismatchError(RequestError, code="checksum-mismatch", http=460):
    """A part of a resumable upload does not have the checksum that was sent with it, and was discarded."""


class ProtocolVersionError(RequestError, code="unsupported-tus-version", http=412):
    """The request has no ``Tus-Resumable``, or another version of the protocol."""

    headers: Mapping[str, str] = MappingProxyType({"Tus-Version": "1.0.0"})


class NotReadyError(RequestError, code="not-ready", http=409):
    """The separation has no result, either not yet or because it did not succeed; see its state."""


class NoSuchStemError(RequestError, code="unknown-stem", http=404):
    """The separation has no stem of this name."""


class NoPreviewError(RequestError, code="no-preview", http=404):
    """The separation has no previews, or its previews have no such segment."""


class UnsatisfiableRangeError(RequestError, code="unsatisfiable-range", http=416):
    """The requested range begins beyond the end of the file.

    Attributes:
        headers: response headers with the size of the file.
    """

    def __init__(self, message: str, size: int) -> None:
        super().__init__(message)
        self.headers = {"Content-Range": f"bytes */{size}"}


class SeparationFailedError(RequestError, code="separation-failed"):
    """The separation that the caller waited for failed.

    It has the code of the job's error, and its status too if the song or a full disk is at fault.
    """

    title = "Separation failed"

    def __init__(self, message: str, type: str) -> None:  # noqa: A002 - the job's own word
        super().__init__(message)
        self.code = type.removeprefix("/problems/") or self.code
        kind = {kind.code: kind for kind in error_classes()}.get(self.code, SpleeterError)
        if kind.http < 500 or issubclass(kind, _Full):
            self.http, self.title, self.retry_after = kind.http, kind.title, kind.retry_after


class StillRunningError(RequestError):
    """The separation was still running when the caller's wait ended; it continues.

    Attributes:
        headers: response headers with the location of the separation.
    """

    def __init__(self, message: str, location: str = "") -> None:
        super().__init__(message)
        self.headers = {"Location": location} if location else {}


class WaitedTooLongError(StillRunningError, code="still-running", http=504):
    """The separation takes longer than a request may wait; it continues."""


class StoppingError(StillRunningError, code="stopping", http=503):
    """The service is stopping before the request is done; a separation that exists continues later."""

    retry_after = _RETRY_SOON


def without_passwords(text: str) -> str:
    """Return a text without the user names and passwords of the URLs in it, for messages and manifests."""
    return re.sub(r"://[^/\s]*@", "://", text)


def error_classes(base: type[SpleeterError] = SpleeterError) -> Iterator[type[SpleeterError]]:
    """Yield an error class and all classes below it, each before its subclasses."""
    yield base
    for subclass in base.__subclasses__():
        yield from error_classes(subclass)
