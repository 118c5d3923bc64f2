"""A client of the API that keeps trying while the service is unavailable."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import httpx

_AWAY = {429, 502, 503, 504, 507}
FINAL = frozenset({"succeeded", "failed", "cancelled"})
"""States in which a separation has ended."""

Separation = Mapping[str, Any]
"""A separation as the API describes it."""


class Client:
    """A client that submits songs and downloads stems.

    Args:
        url: address of the API.
        key: API key with all scopes.
        timeout: seconds for which the service may be unavailable.
        idle: number of connections to keep for later requests.

    Attributes:
        repeats: number of requests that had to be sent again.
    """

    def __init__(self, url: str, key: str, timeout: float = 60.0, idle: int = 32) -> None:
        limits = httpx.Limits(max_connections=32, max_keepalive_connections=idle)
        self._http = httpx.AsyncClient(
            base_url=url, headers={"X-API-KEY": key}, timeout=30, limits=limits, trust_env=False
        )
        self._timeout = timeout
        self.repeats = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def submit(self, song: Path, idempotency_key: str | None = None, **options: str) -> Separation:
        """Submit a song; with an idempotency key the request is repeated until it is answered."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        form = {"file": (song.name, song.read_bytes(), "audio/wav")}
        answer = await self._ask("POST", "/v1/separations", headers=headers, files=form, data=options)
        return _json(answer)

    async def offer(self, name: str, content: bytes) -> httpx.Response:
        """Submit any content under a name, and return the answer, whatever it is."""
        return await self._http.post("/v1/separations", files={"file": (name, content)})

    async def get(self, job: str) -> Separation:
        """Return a separation."""
        return _json(await self._ask("GET", f"/v1/separations/{job}"))

    async def all(self) -> list[Separation]:
        """Return all separations."""
        found: list[Separation] = []
        cursor: dict[str, str] = {}
        while True:
            page = _json(await self._ask("GET", "/v1/separations", params={"limit": "100", **cursor}))
            found += page["items"]
            if page["next_cursor"] is None:
                return found
            cursor = {"cursor": page["next_cursor"]}

    async def all_ended(self) -> list[Separation]:
        """Return all separations as soon as none is queued or running."""
        while not all(job["state"] in FINAL for job in await self.all()):
            await asyncio.sleep(0.5)
        return await self.all()

    async def succeeded(self, job: str, within: float) -> Separation:
        """Poll a separation until it has succeeded, and return it.

        Raises:
            TimeoutError: if it has not ended within this many seconds.
            RuntimeError: if it failed or was cancelled.
        """
        return await self._until(job, FINAL, "succeeded", within)

    async def running(self, job: str, within: float) -> Separation:
        """Poll a separation until it runs; raises what ``succeeded`` raises."""
        return await self._until(job, FINAL | {"running"}, "running", within)

    async def _until(self, job: str, states: frozenset[str], wanted: str, within: float) -> Separation:
        async with asyncio.timeout(within):
            while (found := await self.get(job))["state"] not in states:
                await asyncio.sleep(0.02)
        if found["state"] != wanted:
            raise RuntimeError(f"separation {job} is {found['state']}: {found['error']}")
        return found

    async def followed(self, job: str, within: float) -> Separation:
        """Follow a separation's events until it has succeeded; raises what ``succeeded`` raises."""
        async with asyncio.timeout(within):
            async with self._http.stream("GET", f"/v1/separations/{job}/events") as events:
                async for _ in events.aiter_lines():
                    pass  # they end with the separation
        return await self.succeeded(job, within)

    async def download(self, path: str) -> bytes:
        """Download a stem."""
        return (await self._ask("GET", path)).content

    async def delete(self, job: str) -> None:
        """Erase a separation."""
        await self._ask("DELETE", f"/v1/separations/{job}", gone={404})

    async def delete_all(self) -> None:
        """Erase all separations."""
        for job in await self.all():
            await self.delete(job["id"])

    async def is_ready(self) -> bool:
        """Return whether the service is ready to separate songs."""
        try:
            return (await self._http.get("/health/ready")).status_code == 200
        except httpx.TransportError:
            return False

    async def _ask(
        self, method: str, path: str, *, gone: frozenset[int] | set[int] = frozenset(), **rest: Any
    ) -> httpx.Response:
        """Send a request until it is answered; raise if the request itself is refused."""
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                answer = await self._http.request(method, path, **rest)
                if answer.status_code not in _AWAY or time.monotonic() > deadline:
                    return _accepted(answer, gone)
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
            self.repeats += 1
            await asyncio.sleep(0.2)


def _accepted(answer: httpx.Response, gone: frozenset[int] | set[int]) -> httpx.Response:
    if not (answer.is_success or answer.status_code in gone):
        raise RuntimeError(f"{answer.request.method} {answer.url}: {answer.status_code} {answer.text[:500]}")
    return answer


def _json(answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()
    return found
