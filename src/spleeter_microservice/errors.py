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
└── EvaluationError
    ├── NoSongsError              a folder without songs and their stems
    ├── AmbiguousStemError        two files for one stem
    ├── UnknownStemError          no true stem for what was separated
    ├── StemLengthError           true stems, estimates or mixture of other lengths
    └── MissingEstimateError      no estimates of a song

Every message says what is wrong and what to do about it. Exit statuses and HTTP
statuses are the business of ``cli`` and ``web``, not of these classes.
"""


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
