"""Exit statuses of the command line: what a shell script can tell apart (docs/cli.md)."""

from __future__ import annotations

from spleeter_microservice import errors

EXIT_STATUSES: dict[type[errors.SpleeterError], int] = {
    errors.ConfigurationError: 2,
    errors.UnreadableInputError: 10,
    errors.EmptyInputError: 11,
    errors.NotAudioError: 12,
    errors.NoAudioStreamError: 13,
    errors.EncryptedInputError: 14,
    errors.TruncatedInputError: 15,
    errors.NoSamplesError: 16,
    errors.InvalidSamplesError: 17,
    errors.UnwritableOutputError: 20,
    errors.DiskFullError: 21,
    errors.EncodingError: 22,
    errors.ConflictingPathsError: 23,
    errors.UnknownModelError: 30,
    errors.ModelNotInstalledError: 31,
    errors.ModelCorruptError: 32,
    errors.CheckpointError: 33,
    errors.ArchiveError: 34,
    errors.DownloadError: 35,
    errors.StorageUnavailableError: 40,
    errors.ObjectNotFoundError: 41,
    errors.ObjectTooLargeError: 42,
    errors.ObjectChangedError: 43,
    errors.InvalidObjectKeyError: 44,
    errors.JobTimeLimitError: 50,
    errors.JobMemoryLimitError: 51,
    errors.JobStoppedError: 52,
    errors.InferenceCrashedError: 53,
    errors.InferenceUnavailableError: 54,
    errors.SelfCheckError: 55,
    errors.InvalidKeyError: 60,
    errors.InvalidTokenError: 61,
    errors.TokenKeysUnavailableError: 62,
    errors.MissingScopeError: 63,
    errors.UnknownKeyError: 64,
    errors.RateLimitError: 65,
    errors.InfectedError: 66,
    errors.ScannerUnavailableError: 67,
    errors.ScanLimitError: 68,
    errors.ForbiddenAddressError: 69,
    errors.UnreachableError: 70,
    errors.ResponseTooLargeError: 71,
    errors.AuditUnwritableError: 73,
    errors.AuditBrokenError: 74,
    errors.DatabaseUnavailableError: 80,
    errors.DatabaseTooNewError: 81,
    errors.DatabaseStartError: 82,
    errors.DatabaseInUseError: 83,
    errors.UnknownJobError: 84,
    errors.IdempotencyConflictError: 85,
    errors.QueueFullError: 86,
    errors.InvalidCursorError: 87,
    errors.NoSongsError: 90,
    errors.AmbiguousStemError: 91,
    errors.UnknownStemError: 92,
    errors.StemLengthError: 93,
    errors.MissingEstimateError: 94,
    errors.TrainingDataError: 95,
    errors.TrainingStateError: 96,
    errors.TrainingDivergedError: 97,
}
SOME_FAILED = 3
"""Of several files, some failed."""


def exit_status(error: errors.SpleeterError) -> int:
    """Give the exit status for an error: its own, or that of the nearest class above it."""
    return next((EXIT_STATUSES[kind] for kind in type(error).__mro__ if kind in EXIT_STATUSES), 1)
