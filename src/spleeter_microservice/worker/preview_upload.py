"""Storing of a job's previews while its song is still being separated."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from spleeter_microservice.audio.ogg_opus import SEGMENT_SECONDS
from spleeter_microservice.jobs.job import Job, Preview
from spleeter_microservice.sandbox.messages import SeparationRequest

Store = Callable[[Mapping[str, Path]], Awaitable[None]]
"""A function that stores files under keys."""


class PreviewUpload:
    """The upload of a job's previews: each segment is stored and reported as soon as every output has it.

    Args:
        job: the job.
        request: the request that makes the previews.
        store: stores files.
        report: called when the previews reach further.
    """

    def __init__(
        self, job: Job, request: SeparationRequest, store: Store, report: Callable[[Preview], None]
    ) -> None:
        self._job = job
        self._request = request
        self._store = store
        self._report = report
        self._segments = 0
        self._seconds = job.audio_seconds  # the song's, which may be an estimate
        self._finished = not request.previews
        self._more = asyncio.Event()

    def made(self, segments: int) -> None:
        """Note how many segments of every output are made."""
        self._segments = max(self._segments, segments)
        self._more.set()

    def finish(self, seconds: float) -> None:
        """Note that everything is made, of a song of this duration."""
        self._seconds, self._finished = seconds, True
        self._more.set()

    async def run(self) -> None:
        """Store everything that is made, until all of it is stored."""
        stored = 0
        while not self._finished or stored < self._segments:
            if stored == self._segments:
                self._more.clear()
                await self._more.wait()
            else:
                await self._store(self._files(stored))
                stored += 1
                self._report_reach(stored)
        if self._request.previews:
            await self._store(self._files(None))
            self._report_reach(stored)

    def _files(self, segment: int | None) -> Mapping[str, Path]:
        request, key = self._request, self._job.preview_key
        return {key(name, segment): request.preview_path(name, segment) for name in request.paths}

    def _report_reach(self, segments: int) -> None:
        seconds = min(segments * SEGMENT_SECONDS, self._seconds)
        self._report(Preview([*self._request.paths], segments, seconds, SEGMENT_SECONDS))
