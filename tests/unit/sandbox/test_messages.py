"""What a slot asks of its inference process arrives as it was sent."""

from __future__ import annotations

import json
from pathlib import Path

from spleeter_microservice.sandbox.messages import (
    InferenceModel,
    SeparationRequest,
    decode_model,
    encode_model,
)
from spleeter_microservice.separation.options import SeparationOptions
from spleeter_microservice.separation.separator import ModelFiles

FILES = ModelFiles("spleeter", Path("/models/lite"), {"bins": 1024}, Path("/models/2"), ("a", "b"), 44100)


def test_a_model_arrives_as_it_was_sent() -> None:
    assert decode_model(json.loads(json.dumps(encode_model(FILES)))) == FILES


def test_a_request_arrives_with_all_that_the_process_needs() -> None:
    options = SeparationOptions(codec="flac", bit_depth="24", duration=2.5, mwf=True)
    request = SeparationRequest(
        Path("/songs/song"), {"a": Path("/songs/a.flac")}, options, model=InferenceModel(FILES)
    )
    assert SeparationRequest.from_message(json.loads(json.dumps(request.to_message()))) == request
