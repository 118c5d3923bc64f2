"""Names of codecs, and of the backends that official Spleeter once had a choice of."""

from enum import StrEnum


class Codec(StrEnum):
    """A codec of the stems."""

    WAV = "wav"
    MP3 = "mp3"
    OGG = "ogg"
    OPUS = "opus"
    M4A = "m4a"
    WMA = "wma"
    FLAC = "flac"
    AIFF = "aiff"
    ALAC = "alac"


class STFTBackend(StrEnum):
    """A library that computes spectrograms in Spleeter up to 2.3; this program has one way to do so."""

    AUTO = "auto"
    TENSORFLOW = "tensorflow"
    LIBROSA = "librosa"
