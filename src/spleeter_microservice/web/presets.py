"""The list of presets."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from spleeter_microservice.separation.presets import PRESETS
from spleeter_microservice.web.auth import Caller
from spleeter_microservice.web.openapi.responses import keyed_responses

router = APIRouter(tags=["separations"])


class PresetInfo(BaseModel):
    """Options for a purpose."""

    name: str = Field(description="Value of `preset`.", examples=["karaoke"])
    purpose: str = Field(examples=[PRESETS["karaoke"].purpose])
    options: dict[str, Any] = Field(
        description="The fields that it stands for, as in requests.", examples=[PRESETS["karaoke"].options]
    )


class PresetList(BaseModel):
    """All presets."""

    presets: list[PresetInfo]


@router.get("/v1/presets", operation_id="listPresets", responses=keyed_responses())
async def list_(_: Caller) -> PresetList:
    """List the presets, which stand for the options of common purposes."""
    presets = PRESETS.values()
    return PresetList(presets=[PresetInfo.model_validate(preset, from_attributes=True) for preset in presets])
