"""What a caller may send, and what is left of its rate and its queue."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from spleeter_microservice.access.rate_limit import Allowance
from spleeter_microservice.access.shares import Bound, Share
from spleeter_microservice.audio.codecs import CODECS
from spleeter_microservice.audio.containers import AUDIO_ENDINGS
from spleeter_microservice.web.auth import Caller
from spleeter_microservice.web.openapi.responses import keyed_responses
from spleeter_microservice.web.services import Services, ServicesDep

router = APIRouter(tags=["separations"])


class RequestRate(BaseModel):
    """The rate of requests."""

    limit: int = Field(description="Requests that may be sent at once.", examples=[600])
    seconds: float = Field(description="Seconds in which all of them are allowed again.", examples=[60])
    remaining: int = Field(description="Requests that may be sent now.", examples=[599])


class QueueRoom(BaseModel):
    """The room in the queue."""

    limit: int = Field(description="Separations that may be queued at the same time.", examples=[100])
    remaining: int = Field(description="Separations that may be submitted now.", examples=[97])


class ShareLimit(BaseModel):
    """How much of something you may hold at a time."""

    limit: int = Field(description="How much you may hold.", examples=[64])
    in_all: int = Field(description="How much all callers together may hold.", examples=[256])
    used: int | None = Field(
        description="How much you hold. Null for what is waited for instead of being refused.", examples=[2]
    )
    of_service: bool = Field(
        description="Whether the bound is one of the whole service, and not of each of its processes."
    )


class RetentionHours(BaseModel):
    """How long results are kept."""

    default: float = Field(description="Hours without `retention_hours`.", examples=[24])
    maximum: float = Field(description="Largest `retention_hours`.", examples=[168])


class Limits(BaseModel):
    """What the caller may send, and how much of it now."""

    file_bytes: int = Field(description="Largest size of a song in bytes.", examples=[104857600])
    song_seconds: float = Field(description="Longest selection of a song in seconds.", examples=[3600])
    extensions: list[str] = Field(
        description="Endings of the names of accepted files.", examples=[["flac", "wav"]]
    )
    any_name: bool = Field(description="Whether files under any other name are accepted by their content.")
    codecs: list[str] = Field(description="Formats of stems.", examples=[["wav", "flac"]])
    models: list[str] = Field(description="Models that a running worker has.", examples=[["2stems"]])
    source_url: bool = Field(description="Whether the service fetches songs from URLs.")
    destination_url: bool = Field(description="Whether the service sends stems to pre-signed addresses.")
    buckets: list[str] = Field(
        description="Buckets and folders that `source_url` and `destination_url` may name.",
        examples=[["s3://songs/ann"]],
    )
    callback_url: bool = Field(description="Whether the service sends webhooks.")
    scopes: list[str] = Field(description="What the key or token may do.", examples=[["read", "separate"]])
    retention_hours: RetentionHours
    requests: RequestRate
    queue: QueueRoom
    shares: dict[Share, ShareLimit] = Field(
        description="Bounds of what you hold at a time. Beyond one, the response is 429 with `Retry-After`."
    )


@router.get("/v1/limits", operation_id="getLimits", responses=keyed_responses())
async def limits(request: Request, services: ServicesDep, caller: Caller) -> Limits:
    """Get what you may send: sizes, durations, formats and models, and what is left of your rates."""
    config, rate = services.config, services.requests.rate
    allowance: Allowance = request.state.allowance
    hour = timedelta(hours=1)
    usage = await services.repository.usage(caller.tenant)
    queued, max_queued = usage[Share.QUEUED_JOBS], services.shares.bounds[Share.QUEUED_JOBS].limit
    return Limits(
        file_bytes=config.max_file_bytes,
        song_seconds=config.max_duration,
        extensions=sorted(config.allowed_extensions or AUDIO_ENDINGS),
        any_name=not config.allowed_extensions,
        codecs=list(CODECS),
        models=[model.name for model in await services.workers.list_models() if model.installed],
        source_url=services.outgoing is not None,
        destination_url=config.destination_urls,
        buckets=services.buckets.of(caller.tenant),
        callback_url=config.signing_webhooks,
        scopes=sorted(caller.scopes),
        retention_hours=RetentionHours(
            default=min(config.default_retention, config.max_retention) / hour,
            maximum=config.max_retention / hour,
        ),
        requests=RequestRate(limit=rate.limit, seconds=rate.period, remaining=allowance.remaining),
        queue=QueueRoom(limit=max_queued, remaining=max(0, max_queued - queued)),
        shares={
            share: ShareLimit(
                limit=bound.limit,
                in_all=bound.in_all,
                used=_used(services, bound, caller.tenant, usage),
                of_service=share.of_service,
            )
            for share, bound in services.shares.bounds.items()
        },
    )


def _used(services: Services, bound: Bound, tenant: str, usage: Mapping[str, int]) -> int | None:
    if bound.share.of_service:
        return usage[bound.share]
    return None if bound.error is None else services.shares.held(bound.share, tenant)
