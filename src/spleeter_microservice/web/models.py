"""The list of models."""

from __future__ import annotations

from fastapi import APIRouter

from spleeter_microservice.web.auth import CanRead
from spleeter_microservice.web.openapi.responses import keyed_responses
from spleeter_microservice.web.separations.schemas import ModelInfo, ModelList
from spleeter_microservice.web.services import ServicesDep

router = APIRouter(tags=["models"])


@router.get("/v1/models", operation_id="listModels", responses=keyed_responses())
async def list_(services: ServicesDep, caller: CanRead) -> ModelList:
    """List the models that are installed and those that can be installed."""
    models = await services.workers.list_models()
    return ModelList(models=[ModelInfo.model_validate(model, from_attributes=True) for model in models])
