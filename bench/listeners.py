"""Follow one separation many times at once, in a separate process.

``python -m bench.listeners PORT JOB COUNT``, with the key in ``SPLEETER_API_KEY``. Prints a line of JSON
when all are listening, and another at the end: by state, the wall-clock time at which each heard of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

_AT_ONCE = 50
_FINAL = ("succeeded", "failed", "cancelled")


class Listeners:
    """The process that runs the listeners."""

    def __init__(self, running: asyncio.subprocess.Process) -> None:
        self._running = running

    async def arrivals(self) -> dict[str, list[float]]:
        """Wait for the separation to end; return by state when each listener heard of it."""
        assert self._running.stdout is not None
        found: dict[str, list[float]] = json.loads(await self._running.stdout.readline())
        return found


@asynccontextmanager
async def listening(port: int, job: str, key: str, count: int) -> AsyncIterator[Listeners]:
    """Yield the listeners as soon as all of them are listening."""
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bench.listeners", str(port), job, str(count)),
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "SPLEETER_API_KEY": key},
        stdout=subprocess.PIPE,
        limit=1 << 24,
    )
    try:
        assert running.stdout is not None
        if not await running.stdout.readline():
            raise RuntimeError("The listeners did not start.")
        yield Listeners(running)
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


async def _listen(port: int, job: str, begun: asyncio.Event, arrivals: dict[str, list[float]]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 14)
    key = os.environ["SPLEETER_API_KEY"]
    request = f"GET /v1/separations/{job}/events HTTP/1.1\r\nHost: localhost\r\nX-API-KEY: {key}\r\n\r\n"
    writer.write(request.encode())
    status = await reader.readline()
    if b" 200 " not in status:
        raise RuntimeError(status.decode())
    last = ""
    while last not in _FINAL:
        line = await reader.readline()
        if line.startswith(b"data:"):
            begun.set()
            state = json.loads(line[5:])["state"]
            if state != last:
                arrivals[state].append(time.time())
                last = state
        elif not line:
            raise RuntimeError("The server closed a listener's stream too early.")
    writer.close()


async def _main() -> None:
    port, job, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    arrivals: dict[str, list[float]] = defaultdict(list)
    listeners: list[asyncio.Task[None]] = []
    while len(listeners) < count:
        some = [asyncio.Event() for _ in range(min(_AT_ONCE, count - len(listeners)))]
        listeners += [asyncio.create_task(_listen(port, job, begun, arrivals)) for begun in some]
        await asyncio.gather(*(begun.wait() for begun in some))
    print(json.dumps({"listening": count}), flush=True)
    await asyncio.gather(*listeners)
    print(json.dumps(arrivals), flush=True)


if __name__ == "__main__":
    asyncio.run(_main())
