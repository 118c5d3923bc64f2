"""The probing process's work: open files as audio and decode as little as possible."""

from __future__ import annotations

from pathlib import Path

from spleeter_microservice.audio.reader import SHORTEST_CUT, AudioReader
from spleeter_microservice.sandbox.channel import Channel
from spleeter_microservice.sandbox.framing import Message
from spleeter_microservice.separation.options import SeparationOptions

_BLOCK = round(SHORTEST_CUT * 44100)  # frames; enough to refuse what is cut off sooner


def run(channel: Channel, in_force: list[str]) -> None:
    """Inspect the requested files, one after another."""
    channel.serve({"type": "ready", "in_force": in_force}, _facts)


def _facts(request: Message) -> Message:
    """Describe a file whose beginning can be decoded."""
    options = SeparationOptions(**request["options"])
    with AudioReader(Path(request["path"]), **options.reading) as reader:
        next(reader.blocks(_BLOCK))
        frames = reader.expected_frames
        return {
            "type": "facts",
            "format": reader.format_name,
            "codec": reader.codec_name,
            "duration": None if frames is None else frames / reader.sample_rate,
            "sample_rate": reader.source_sample_rate,
            "channels": reader.source_channels,
            "film": reader.film,
        }
