"""Files of all stems are what Native Instruments' specification says, and what other programs read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import stempeg

from spleeter_microservice.audio.output_format import OutputFormat
from spleeter_microservice.audio.writer import AudioWriter
from tests.support.audio_files import RATE, distance, lag, noise, read
from tests.support.boxes import Box, boxes

TRACKS = [noise(RATE + 123, seed=seed) for seed in range(5)]
KEYS = {"compressor": 9, "limiter": 4}
SCHEMA = {
    "type": "object",
    "required": ["mastering_dsp", "version", "stems"],
    "additionalProperties": False,
    "properties": {
        "version": {"const": 1},
        "mastering_dsp": {
            "type": "object",
            "required": [*KEYS],
            "additionalProperties": False,
            "properties": {
                name: {
                    "type": "object",
                    "minProperties": count,
                    "maxProperties": count,
                    "properties": {"enabled": {"type": "boolean"}},
                    "additionalProperties": {"type": "number"},
                }
                for name, count in KEYS.items()
            },
        },
        "stems": {
            "type": "array",
            "minItems": 4,
            "maxItems": 4,
            "items": {
                "type": "object",
                "required": ["name", "color"],
                "additionalProperties": False,
                "properties": {
                    "name": {"type": "string", "minLength": 1},
                    "color": {"type": "string", "pattern": "^#[0-9A-Fa-f]{6}$"},
                },
            },
        },
    },
}


def write(path: Path, depth: str | None) -> Path:
    with AudioWriter(path, OutputFormat("stem.mp4", bit_depth=depth), RATE, len(TRACKS[0])) as writer:
        for start in range(0, len(TRACKS[0]), 10_000):
            writer.write(np.concatenate([track[start : start + 10_000] for track in TRACKS], axis=1))
        writer.commit()
    return path


def number(box: Box, start: int, size: int) -> int:
    return int.from_bytes(box.content[start : start + size], "big")


def facts(track: Box) -> dict[str, Any]:
    """Return what the boxes of a track say about it."""
    header, media, sound = track["tkhd"], track["mdia"]["mdhd"], track["mdia"]["hdlr"]
    table = track["mdia"]["minf"]["stbl"]
    entry = table["stsd"].content[8:]
    return {
        "enabled": header.content[3] & 1,
        "kind": sound.content[8:12],
        "name": sound.content[24:].rstrip(b"\0"),
        "codec": entry[4:8],
        "channels": int.from_bytes(entry[24:26], "big"),
        "rate": int.from_bytes(entry[32:34], "big"),
        "edits": track["edts"]["elst"].content,
        "length": number(header, 20, 4),
        "samples": number(media, 16, 4),
        "packets": number(table["stsz"], 8, 4),
    }


@pytest.mark.parametrize(("depth", "codec"), [(None, b"mp4a"), ("16", b"alac"), ("24", b"alac")])
def test_the_structure_is_that_of_the_specification(tmp_path: Path, depth: str | None, codec: bytes) -> None:
    root = boxes(write(tmp_path / "song.stem.mp4", depth).read_bytes())
    assert root["ftyp"].content[:4] == b"M4A "
    tracks = [facts(track) for track in root["moov"].all("trak")]
    assert [track.pop("enabled") for track in tracks] == [1, 0, 0, 0, 0]
    assert [track.pop("name") for track in tracks][1:] == [b"drums", b"bass", b"other", b"vocals"]
    assert tracks == 5 * [tracks[0]]
    assert tracks[0]["length"] == len(TRACKS[0])
    assert [tracks[0][name] for name in ("kind", "codec", "channels", "rate")] == [b"soun", codec, 2, RATE]
    manifest = json.loads(root["moov"]["udta"]["stem"].content)
    jsonschema.validate(manifest, SCHEMA)
    assert not any(effect["enabled"] for effect in manifest["mastering_dsp"].values())
    assert [stem["name"] for stem in manifest["stems"]] == ["Drums", "Bass", "Other", "Vocals"]
    assert len({stem["color"] for stem in manifest["stems"]}) == 4


@pytest.mark.parametrize("depth", [None, "24"])
def test_stempeg_reads_all_tracks_in_step(tmp_path: Path, depth: str | None) -> None:
    path = write(tmp_path / "song.stem.mp4", depth)
    found, rate = stempeg.read_stems(str(path), dtype=np.float32)
    assert rate == RATE
    assert found.shape == (5, *TRACKS[0].shape)
    for number, (expected, track) in enumerate(zip(TRACKS, found, strict=True), 1):
        np.testing.assert_allclose(read(path, track=str(number)), track, atol=1e-3)
        assert lag(expected, track) == 0
        assert distance(expected, track) < (-20 if depth is None else -100)
