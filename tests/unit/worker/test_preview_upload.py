"""Segments are stored once each, in order, and an error of the store ends the upload."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from spleeter_microservice.errors import StorageUnavailableError
from spleeter_microservice.jobs.job import Job, Preview
from spleeter_microservice.sandbox.messages import SeparationRequest
from spleeter_microservice.worker.preview_upload import PreviewUpload

pytestmark = pytest.mark.asyncio

_VALUES: dict[str, Any] = dict.fromkeys(each.name for each in fields(Job))
JOB = Job(**_VALUES | {"prefix": "separations/1", "fence": 3, "audio_seconds": 25.0})
REQUEST = SeparationRequest(Path("input"), {"vocals": Path("vocals.wav")}, previews=True)


async def test_each_segment_is_stored_once_and_the_whole_last() -> None:
    stored: list[str] = []
    reports: list[Preview] = []

    async def store(files: Mapping[str, Path]) -> None:
        stored.extend(files)

    upload = PreviewUpload(JOB, REQUEST, store, reports.append)
    running = asyncio.create_task(upload.run())
    for made in (0, 1, 3, 2):  # never fewer than before
        upload.made(made)
        await asyncio.sleep(0)
    upload.finish(24.0)
    await running
    prefix = "separations/1/previews/3"
    assert stored == [*(f"{prefix}/vocals/{number}.opus" for number in range(3)), f"{prefix}/vocals.opus"]
    assert [report.seconds for report in reports] == [10, 20, 25, 24]  # the duration was an estimate


async def test_an_error_of_the_store_ends_the_upload_and_without_previews_nothing_is_stored() -> None:
    async def store(files: Mapping[str, Path]) -> None:
        raise StorageUnavailableError("away")

    upload = PreviewUpload(JOB, REQUEST, store, print)
    upload.made(1)
    with pytest.raises(StorageUnavailableError):
        await upload.run()
    await PreviewUpload(JOB, replace(REQUEST, previews=False), store, print).run()
