"""What a caller may send, and what is left of its rate and its queue."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from spleeter_microservice.access.rate_limit import Allowance
from spleeter_microservice.access.shares import Bound, Share
from spleeter_microservice.audio.codecs import CODECS, DEFAULT_BITRATE, Codec
from spleeter_microservice.audio.containers import AUDIO_ENDINGS
from spleeter_microservice.errors import ModelNotInstalledError
from spleeter_microservice.models.example import find_example
from spleeter_microservice.web.auth import Caller
from spleeter_microservice.web.openapi.responses import keyed_responses
from spleeter_microservice.web.separations import schemas
from spleeter_microservice.web.separations.presenters import queue_of
from spleeter_microservice.web.services import Services, ServicesDep
from spleeter_microservice.web.submit.options import ModelName

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


class Bitrates(BaseModel):
    """The bitrates of a lossy codec."""

    minimum: int = Field(description="Lowest bitrate in bits per second.", examples=[32000])
    maximum: int = Field(description="Highest bitrate in bits per second.", examples=[320000])
    default: str = Field(description="`bitrate` if you send none.", examples=[DEFAULT_BITRATE])
    steps: list[int] = Field(description="The only bitrates; empty if all between are possible.")


class Format(BaseModel):
    """A format that stems can be written in."""

    codec: str = Field(examples=["mp3"])
    title: str = Field(description="Name that people know it by.", examples=["MP3"])
    extension: str = Field(description="Ending of the files' names.", examples=["mp3"])
    media_type: str = Field(examples=["audio/mpeg"])
    bit_depths: list[str] = Field(description="Values of `bit_depth`; empty if always lossy.")
    bitrates: Bitrates | None = Field(description="Null if always lossless.")


class Estimate(schemas.Queue):
    """When a song would be done if you sent it now."""

    done_at: datetime | None = Field(description="When it would be done; null if nothing was measured yet.")


class Limits(BaseModel):
    """What the caller may send, and how much of it now."""

    file_bytes: int = Field(description="Largest size of a song in bytes.", examples=[104857600])
    song_seconds: float = Field(description="Longest selection of a song in seconds.", examples=[3600])
    extensions: list[str] = Field(
        description="Endings of the names of accepted files.", examples=[["flac", "wav"]]
    )
    any_name: bool = Field(description="Whether files under any other name are accepted by their content.")
    codecs: list[str] = Field(description="Formats of stems.", examples=[["wav", "flac"]])
    formats: list[Format] = Field(description="The same formats in detail.")
    models: list[str] = Field(description="Models that a running worker has.", examples=[["2stems"]])
    source_url: bool = Field(description="Whether the service fetches songs from URLs.")
    example: bool = Field(description="Whether the service has an example song.")
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
    estimate: Estimate | None = Field(
        description="When a song of `seconds` would be done if you sent it now; null without `seconds`, and "
        "if no worker has the model."
    )


@router.get("/v1/limits", operation_id="getLimits", responses=keyed_responses())
async def limits(
    request: Request,
    services: ServicesDep,
    caller: Caller,
    seconds: Annotated[
        float | None,
        Query(
            gt=0, le=1e6, allow_inf_nan=False, description="Seconds of a song to estimate.", examples=[240]
        ),
    ] = None,
    model: Annotated[
        ModelName | None, Query(description="Its model; by default, the one for two stems.")
    ] = None,
) -> Limits:
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
        formats=[_format(codec) for codec in CODECS.values()],
        models=[model.name for model in await services.workers.list_models() if model.installed],
        source_url=services.outgoing is not None,
        example=find_example(config.models) is not None,
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
        estimate=await _estimate(services, caller.tenant, seconds, model),
    )


async def _estimate(
    services: Services, tenant: str, seconds: float | None, model: str | None
) -> Estimate | None:
    if seconds is None:
        return None
    try:
        chosen = await services.workers.choose(2, "official", model)
    except ModelNotInstalledError:
        return None
    position = await services.repository.forecast(tenant, seconds, chosen.result_version)
    wait = position.estimate
    done_at = None if wait is None else datetime.now(UTC) + timedelta(seconds=wait)
    return Estimate(**queue_of(position).model_dump(), done_at=done_at)


def _format(codec: Codec) -> Format:
    bitrates = None
    if codec.kilobits:
        low, high = (1000 * kilobits for kilobits in codec.kilobits)
        steps = [1000 * step for step in codec.steps]
        bitrates = Bitrates(minimum=low, maximum=high, default=codec.default_bitrate, steps=steps)
    return Format(
        codec=codec.name,
        title=codec.title,
        extension=codec.extension,
        media_type=codec.media_type,
        bit_depths=[depth for depth in codec.encoders if depth],
        bitrates=bitrates,
    )


def _used(services: Services, bound: Bound, tenant: str, usage: Mapping[str, int]) -> int | None:
    if bound.share.of_service:
        return usage[bound.share]
    return None if bound.share.error is None else services.shares.held(bound.share, tenant)
