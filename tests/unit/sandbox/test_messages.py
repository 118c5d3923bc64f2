"""What a slot asks of its inference process arrives as it was sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spleeter_microservice.audio.tracks import AudioTrack
from spleeter_microservice.audio.warnings import AudioWarning
from spleeter_microservice.sandbox.framing import Message, ProtocolError
from spleeter_microservice.sandbox.inference_engine import described
from spleeter_microservice.sandbox.messages import (
    InferenceModel,
    SeparationRequest,
    decode_model,
    encode_model,
    separation,
)
from spleeter_microservice.separation.measurements import Measurements
from spleeter_microservice.separation.options import SeparationOptions
from spleeter_microservice.separation.result import SeparatedSong
from spleeter_microservice.separation.separator import ModelFiles

FILES = ModelFiles(Path("/models/lite"), {"bins": 1024}, Path("/models/2"), ("a", "b"), 44100)


def test_a_model_arrives_as_it_was_sent() -> None:
    assert decode_model(json.loads(json.dumps(encode_model(FILES)))) == FILES


def test_a_request_arrives_with_all_that_the_process_needs() -> None:
    options = SeparationOptions(codec="flac", bit_depth="24", duration=2.5, mwf=True)
    request = SeparationRequest(
        Path("/songs/song"), {"a": Path("/songs/a.flac")}, options, model=InferenceModel(FILES)
    )
    assert SeparationRequest.from_message(json.loads(json.dumps(request.to_message()))) == request


def result(**changes: Any) -> Message:
    song = SeparatedSong(
        source=Path("song"),
        stems={},
        measurements=Measurements([], None, None, None, None),
        duration=2.5,
        samples=110_250,
        elapsed=1.0,
        first_block=0.5,
        stages={},
        provider="CPU",
        track=AudioTrack(2, "eng"),
        start_time=1.5,
        warnings=[AudioWarning("gap", "Silence fills a gap of 0.4 s.", 0.5)],
    )
    message: Message = json.loads(json.dumps(described(song, {})))
    return message | changes


def test_a_result_says_what_was_odd_about_the_song() -> None:
    found = separation(result(), SeparationRequest(Path("song"), {}))
    assert found.warnings == (AudioWarning("gap", "Silence fills a gap of 0.4 s.", 0.5),)
    assert (found.track, found.start_time) == (AudioTrack(2, "eng"), 1.5)


@pytest.mark.parametrize(
    "change",
    [
        {"warnings": [{"code": "made-up", "message": "x", "position": 0}]},
        {"warnings": [{"code": "gap", "message": 1, "position": 0}]},
        {"warnings": [{"code": "gap", "message": "x", "position": "far"}]},
        {"warnings": [{"code": "gap", "message": "x", "position": 0}] * 101},
        {"warnings": [{"code": []}]},
        {"warnings": 3},
        {"track": {"number": -1, "language": None}},
        {"track": {"number": 1, "language": 2}},
        {"track": None},
        {"start_time": None},
        {"start_time": 10**400},
    ],
)
def test_a_result_of_its_own_making_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        separation(result(**change), SeparationRequest(Path("song"), {}))
