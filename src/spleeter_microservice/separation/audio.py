"""Songs in, stems out: audio files as streams of float32 blocks of shape (frames, 2)."""

from spleeter_microservice.separation.audio_formats import CODECS, OutputFormat
from spleeter_microservice.separation.audio_reader import AudioReader
from spleeter_microservice.separation.audio_writer import AudioWriter

__all__ = ["CODECS", "AudioReader", "AudioWriter", "OutputFormat"]
