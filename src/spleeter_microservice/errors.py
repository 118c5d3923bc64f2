"""Everything that can go wrong, as one tree.

SpleeterError
├── ConfigurationError            an option, setting or configuration file is wrong
├── AudioError
│   ├── InputError                the input cannot be separated
│   │   ├── UnreadableInputError  missing file, folder, no permission
│   │   ├── EmptyInputError       the file has no bytes
│   │   ├── NotAudioError         no known audio format
│   │   ├── NoAudioStreamError    a media file without sound
│   │   ├── EncryptedInputError   protected by DRM
│   │   ├── TruncatedInputError   ends, or breaks, before its end
│   │   ├── NoSamplesError        audio of zero length
│   │   └── InvalidSamplesError   NaN or infinite samples
│   └── OutputError               the stems cannot be written
│       ├── UnwritableOutputError the folder refuses files
│       ├── DiskFullError         no space left
│       ├── EncodingError         the encoder failed
│       └── ConflictingPathsError two stems would have one name
├── ModelError
│   ├── UnknownModelError         no model has this name
│   ├── ModelNotInstalledError    known, but not on this machine
│   ├── ModelCorruptError         installed files are not what was installed
│   ├── CheckpointError           weights that do not fit or do not check out
│   ├── ArchiveError              an archive that is unsafe or not a model
│   └── DownloadError             the download failed
├── StorageError
│   ├── StorageUnavailableError   the object store does not answer, or refuses
│   ├── ObjectNotFoundError       no object has this key
│   ├── ObjectTooLargeError       more bytes than are allowed
│   ├── ObjectChangedError        replaced while it was read
│   └── InvalidObjectKeyError     not the key of an object
├── InferenceError
│   ├── JobTimeLimitError         took longer than it may
│   ├── JobMemoryLimitError       needed more memory than it may
│   ├── JobStoppedError           stopped on request
│   ├── InferenceCrashedError     the inference process died of the job
│   ├── InferenceUnavailableError no inference process can be started
│   └── SelfCheckError            a known clip came out wrong
├── SecurityError
│   ├── AuthenticationError       nobody knows who is calling
│   │   ├── InvalidKeyError       an API key that opens nothing
│   │   └── InvalidTokenError     a bearer token that does not check out
│   ├── TokenKeysUnavailableError the issuer's public keys cannot be had
│   ├── MissingScopeError         known, but not allowed to do this
│   ├── UnknownKeyError           no API key has this id
│   ├── RateLimitError            too many requests or failed attempts
│   ├── AntivirusError
│   │   ├── InfectedError         the scanner found a virus
│   │   ├── ScannerUnavailableError  the scanner gives no verdict
│   │   └── ScanLimitError        larger than the scanner scans
│   ├── OutgoingError
│   │   ├── ForbiddenAddressError an address that this service does not call
│   │   ├── UnreachableError      the other side did not answer as it should
│   │   └── ResponseTooLargeError it answered with more than is allowed
│   └── AuditError
│       ├── AuditUnwritableError  the audit log refuses records
│       └── AuditBrokenError      records were changed, removed or moved
├── JobError
│   ├── DatabaseError
│   │   ├── DatabaseUnavailableError  it does not answer
│   │   ├── DatabaseTooNewError   a newer version of this program migrated it
│   │   ├── DatabaseStartError    the embedded one does not start or stop
│   │   └── DatabaseInUseError    the embedded one has an owner already
│   ├── UnknownJobError           the tenant has no such job
│   ├── IdempotencyConflictError  one idempotency key, two bodies
│   ├── QueueFullError            the tenant has too many jobs waiting
│   └── InvalidCursorError        a cursor that no page gave
├── EvaluationError
│   ├── NoSongsError              a folder without songs and their stems
│   ├── AmbiguousStemError        two files for one stem
│   ├── UnknownStemError          no true stem for what was separated
│   ├── StemLengthError           true stems, estimates or mixture of other lengths
│   └── MissingEstimateError      no estimates of a song
├── TrainingError
│   ├── TrainingDataError         a list or a song that cannot be trained on
│   ├── TrainingStateError        a state that this training cannot go on from
│   └── TrainingDivergedError     the loss is no number any more
└── RequestError                  an HTTP request is not one that is answered
    ├── MalformedRequestError     it cannot be understood
    ├── InvalidFieldsError        fields that are missing, unknown or wrong
    ├── CredentialsError          none, or two that differ
    ├── WrongHostError            meant for another host
    ├── RequestTooLargeError      more bytes than are taken
    ├── RequestTooSlowError       its body does not arrive
    ├── UnsupportedTypeError      a body of a kind that is not taken
    ├── SongTooLongError          more seconds than are taken
    ├── NotReadyError             what was asked for does not exist yet
    ├── NoSuchStemError           the separation has no stem of this name
    ├── UnsatisfiableRangeError   a range beyond the end of the file
    ├── SeparationFailedError     the separation that was waited for failed
    └── StillRunningError         the separation that was waited for goes on
        ├── WaitedTooLongError    it takes longer than a request may wait
        └── StoppingError         the service stops before it is done

Every message says what is wrong and what to do about it. Exit statuses and HTTP
statuses are the business of ``cli`` and ``web``, not of these classes.
"""

from __future__ import annotations

from collections.abc import Mapping


class SpleeterError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigurationError(SpleeterError):
    """An option, a setting or a configuration file is wrong."""


class AudioError(SpleeterError):
    """Audio cannot be read or written."""


class InputError(AudioError):
    """The input cannot be separated."""


class UnreadableInputError(InputError):
    """The input file is missing, is a folder, or may not be read."""


class EmptyInputError(InputError):
    """The input file has no bytes."""


class NotAudioError(InputError):
    """The input is in no known audio format."""


class NoAudioStreamError(InputError):
    """The input is a media file without sound."""


class EncryptedInputError(InputError):
    """The input is protected by DRM."""


class TruncatedInputError(InputError):
    """The input ends, or breaks, before the end that it announces."""


class NoSamplesError(InputError):
    """The input, or the part of it asked for, has a length of zero."""


class InvalidSamplesError(InputError):
    """The input has samples that are not finite numbers."""


class OutputError(AudioError):
    """The stems cannot be written."""


class UnwritableOutputError(OutputError):
    """The output folder refuses files."""


class DiskFullError(OutputError):
    """There is no space left for the stems."""


class EncodingError(OutputError):
    """The encoder failed."""


class ConflictingPathsError(OutputError):
    """Two stems would be written to the same file."""


class ModelError(SpleeterError):
    """A model cannot be used."""


class UnknownModelError(ModelError):
    """No model has this name."""


class ModelNotInstalledError(ModelError):
    """The model is known, but it is not on this machine."""


class ModelCorruptError(ModelError):
    """The installed files are not those that were installed."""


class CheckpointError(ModelError):
    """Weights are missing, do not fit the network, or fail their checksums."""


class ArchiveError(ModelError):
    """An archive is unsafe to unpack, or holds no model."""


class DownloadError(ModelError):
    """A download failed."""


class SecurityError(SpleeterError):
    """Somebody, or something sent, is not let through."""


class AuthenticationError(SecurityError):
    """Nobody knows who is calling.

    Attributes:
        reason: a word for the audit log; the message may go to the caller.
    """

    def __init__(self, message: str, *, reason: str = "missing") -> None:
        super().__init__(message)
        self.reason = reason


class InvalidKeyError(AuthenticationError):
    """The API key is mistyped, unknown, expired or revoked."""


class InvalidTokenError(AuthenticationError):
    """The bearer token is not one that this service accepts."""


class TokenKeysUnavailableError(SecurityError):
    """The token issuer's public keys cannot be fetched.

    Attributes:
        retry_after: seconds until trying again makes sense.
    """

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class MissingScopeError(SecurityError):
    """The caller is known, but not allowed to do this.

    Attributes:
        scope: the one that is missing.
    """

    def __init__(self, message: str, scope: str) -> None:
        super().__init__(message)
        self.scope = scope


class UnknownKeyError(SecurityError):
    """No API key has this id."""


class RateLimitError(SecurityError):
    """There were too many requests, or too many failed attempts.

    Attributes:
        retry_after: whole seconds until the next one is let through, at least 1.
    """

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class AntivirusError(SecurityError):
    """The scanner did not call a file clean."""


class InfectedError(AntivirusError):
    """The scanner found a virus.

    Attributes:
        signature: its name, as the scanner gives it.
    """

    def __init__(self, message: str, signature: str) -> None:
        super().__init__(message)
        self.signature = signature


class ScannerUnavailableError(AntivirusError):
    """The scanner cannot be reached, or gives no verdict."""


class ScanLimitError(AntivirusError):
    """The file is larger, or deeper, than the scanner is set up to scan."""


class OutgoingError(SecurityError):
    """A request to an address that a caller gave was not made, or failed."""


class ForbiddenAddressError(OutgoingError):
    """The address is one that this service does not call."""


class UnreachableError(OutgoingError):
    """The other side cannot be reached, or did not answer as it should.

    Attributes:
        status: HTTP status of its answer, if there was one.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ResponseTooLargeError(OutgoingError):
    """The other side answered with more bytes than are allowed."""


class AuditError(SecurityError):
    """The audit log cannot be kept or trusted."""


class AuditUnwritableError(AuditError):
    """The audit log refuses records."""


class AuditBrokenError(AuditError):
    """Records of the audit log were changed, removed or moved."""


class StorageError(SpleeterError):
    """An object cannot be stored or had."""


class StorageUnavailableError(StorageError):
    """The object store does not answer, is full, or refuses."""


class ObjectNotFoundError(StorageError):
    """No object has this key."""


class ObjectTooLargeError(StorageError):
    """More bytes came than are allowed."""


class ObjectChangedError(StorageError):
    """The object was replaced while it was read."""


class InvalidObjectKeyError(StorageError):
    """This cannot be the key of an object."""


class InferenceError(SpleeterError):
    """A job was not separated, for reasons outside its audio."""


class JobTimeLimitError(InferenceError):
    """The job took longer than it may."""


class JobMemoryLimitError(InferenceError):
    """The job needed more memory than it may have."""


class JobStoppedError(InferenceError):
    """The job was stopped on request."""


class InferenceCrashedError(InferenceError):
    """The inference process died of the job, or answered what it must not.

    ``signal`` is the number of the signal that ended it, or None.
    """

    def __init__(self, message: str, signal: int | None = None) -> None:
        super().__init__(message)
        self.signal = signal


class InferenceUnavailableError(InferenceError):
    """No inference process can be started, or none runs."""


class SelfCheckError(InferenceError):
    """A known clip was not separated as it must be."""


class JobError(SpleeterError):
    """A job cannot be created, found or done."""


class DatabaseError(JobError):
    """The database cannot be used."""


class DatabaseUnavailableError(DatabaseError):
    """The database does not answer, or went away in the middle of a transaction."""


class DatabaseTooNewError(DatabaseError):
    """The database was migrated by a newer version of this program."""


class DatabaseStartError(DatabaseError):
    """The embedded database does not start, or does not stop."""


class DatabaseInUseError(DatabaseError):
    """Another process has started the embedded database of this folder."""


class UnknownJobError(JobError):
    """The tenant has no such job."""


class IdempotencyConflictError(JobError):
    """An idempotency key came again with another body."""


class QueueFullError(JobError):
    """The tenant has as many jobs waiting as are allowed."""


class InvalidCursorError(JobError):
    """A cursor is not one that a page of jobs gave."""


class EvaluationError(SpleeterError):
    """A separation cannot be judged."""


class NoSongsError(EvaluationError):
    """There are no songs with their stems in the folder."""


class AmbiguousStemError(EvaluationError):
    """A song has two files for one stem."""


class UnknownStemError(EvaluationError):
    """A song has the true stem of nothing that was separated."""


class StemLengthError(EvaluationError):
    """A song's true stems, estimates and mixture are not of one length."""


class MissingEstimateError(EvaluationError):
    """There are no estimates of a song."""


class TrainingError(SpleeterError):
    """A model cannot be trained."""


class TrainingDataError(TrainingError):
    """A list of stems, or a song, cannot be trained on."""


class TrainingStateError(TrainingError):
    """The state that was left is broken, or is not one of this model."""


class TrainingDivergedError(TrainingError):
    """The loss is no finite number any more."""


class RequestError(SpleeterError):
    """An HTTP request is not one that is answered."""


class MalformedRequestError(RequestError):
    """The request cannot be understood."""


class InvalidFieldsError(RequestError):
    """Fields of the request are missing, unknown or wrong.

    Attributes:
        fields: what is wrong with each, by its path such as ``metadata.title``.
    """

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__(" ".join(f"{field}: {reason}" for field, reason in fields.items()))
        self.fields = fields


class CredentialsError(RequestError):
    """The request has no credentials, or two that differ."""


class WrongHostError(RequestError):
    """The request is meant for another host."""


class RequestTooLargeError(RequestError):
    """The request has more bytes than are taken."""


class RequestTooSlowError(RequestError):
    """The request's body does not arrive."""


class UnsupportedTypeError(RequestError):
    """The request's body, or the file in it, is of a kind that is not taken."""


class SongTooLongError(RequestError):
    """The song has more seconds than are taken."""


class NotReadyError(RequestError):
    """What was asked for does not exist yet, or never will; the job's state tells."""


class NoSuchStemError(RequestError):
    """The separation has no stem of this name."""


class UnsatisfiableRangeError(RequestError):
    """The range that was asked for is beyond the end of the file.

    Attributes:
        headers: of the answer; they say how many bytes there are.
    """

    def __init__(self, message: str, size: int) -> None:
        super().__init__(message)
        self.headers = {"Content-Range": f"bytes */{size}"}


class SeparationFailedError(RequestError):
    """The separation that the caller waited for failed.

    Attributes:
        type: of the job's error.
    """

    def __init__(self, message: str, type: str) -> None:  # noqa: A002 - as the job calls it
        super().__init__(message)
        self.type = type


class StillRunningError(RequestError):
    """The separation goes on after the caller's waiting has ended.

    Attributes:
        headers: of the answer; they say where the separation is found.
    """

    def __init__(self, message: str, location: str) -> None:
        super().__init__(message)
        self.headers = {"Location": location}


class WaitedTooLongError(StillRunningError):
    """The separation takes longer than a request may wait."""


class StoppingError(StillRunningError):
    """The service is being stopped while the caller waits."""
