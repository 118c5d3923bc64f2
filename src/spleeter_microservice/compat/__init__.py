"""The modules of official Spleeter that programs import, under its names.

Write ``spleeter_microservice.compat`` where a program says ``spleeter``. The modules ``separator``,
``audio``, ``audio.adapter`` and ``audio.ffmpeg`` have the classes that they have there, with the same
arguments.
"""

from spleeter_microservice.compat.audio import Codec, STFTBackend
from spleeter_microservice.compat.audio.adapter import AudioAdapter
from spleeter_microservice.compat.separator import Separator
from spleeter_microservice.errors import SpleeterError

__all__ = ["AudioAdapter", "Codec", "STFTBackend", "Separator", "SpleeterError"]
