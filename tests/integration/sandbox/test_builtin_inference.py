"""Inference processes run the built-in models and check them with the reference clip."""

from pathlib import Path

import pytest

from spleeter_microservice.models.provide import find_model
from spleeter_microservice.models.store import ModelStore
from spleeter_microservice.sandbox import self_check
from spleeter_microservice.sandbox.inference import InferenceSlot
from spleeter_microservice.settings import Settings
from spleeter_microservice.worker.inventory import inference_model
from tests.support.inference_models import request_for, song

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("name", ["4stems-lite", "5stems-lite"])
async def test_the_self_check_knows_the_built_in_models(
    model_settings: Settings, tmp_path: Path, name: str
) -> None:
    model = inference_model(find_model(name, ModelStore(model_settings.models_dir)))
    async with InferenceSlot(model, tmp_path) as slot:
        difference = await slot.self_check()
    assert difference is not None
    assert difference <= self_check.TOLERANCE


async def test_a_slot_for_two_stems_separates_a_request_into_four(
    model_settings: Settings, tmp_path: Path
) -> None:
    two, four = (
        inference_model(find_model(name, ModelStore(model_settings.models_dir)))
        for name in ("spleeter:2stems", "4stems-lite")
    )
    async with InferenceSlot(two, tmp_path, models_folder=model_settings.models_dir) as slot:
        result = await slot.separate(request_for(song(tmp_path), four, model=four))
    assert list(result.stems) == ["vocals", "drums", "bass", "other"]
    assert result.measurements.anomaly is None
    assert all(stem.measurements.estimated_quality for stem in result.stems.values())
