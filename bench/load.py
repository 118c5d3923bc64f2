"""Send requests at a fixed rate, whatever the responses, in a separate process.

``python -m bench.load PORT PATH RATE SECONDS``, with the key in ``SPLEETER_API_KEY``; prints JSON. The
latency of a request counts from the moment at which it was due, so it includes any wait before sending.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

CONNECTIONS = 64
_LATE = 300.0  # seconds after which pending requests are abandoned


@dataclass(frozen=True)
class Load:
    """The results of the requests.

    Attributes:
        latencies: seconds until the response, of each answered request, sorted.
        statuses: number of responses by HTTP status.
        unanswered: number of requests without a response.
    """

    latencies: list[float]
    statuses: dict[str, int]
    unanswered: int

    def percentile(self, share: float) -> float:
        """Return the seconds within which this share of the requests was answered."""
        return percentile(self.latencies, share)


def percentile(values: list[float], share: float) -> float:
    """Return the value that this share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * len(ordered)))]


async def run(port: int, path: str, key: str, rate: float, seconds: float) -> Load:
    """Send requests from another process and return the results."""
    arguments = [str(port), path, str(rate), str(seconds)]
    generator = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bench.load", *arguments),
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "SPLEETER_API_KEY": key},
        stdout=subprocess.PIPE,
    )
    output, _ = await generator.communicate()
    return Load(**json.loads(output))


class _Generator:
    """A sender of GET requests for one path over persistent connections."""

    def __init__(self, port: int, path: str, key: str) -> None:
        self._port = port
        self._request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-API-KEY: {key}\r\n\r\n".encode()
        self._due: asyncio.Queue[float] = asyncio.Queue()
        self._latencies: list[float] = []
        self._statuses: Counter[str] = Counter()

    async def run(self, rate: float, seconds: float) -> Load:
        senders = [asyncio.create_task(self._sender()) for _ in range(CONNECTIONS)]
        count = round(rate * seconds)
        begin = time.perf_counter() + 0.5  # until the connections are open
        for number in range(count):
            due = begin + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            self._due.put_nowait(due)
        try:
            async with asyncio.timeout(_LATE):
                await self._due.join()
        except TimeoutError:
            pass
        for sender in senders:
            sender.cancel()
        return Load(sorted(self._latencies), dict(self._statuses), count - len(self._latencies))

    async def _sender(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        while True:
            due = await self._due.get()
            writer.write(self._request)
            head = await reader.readuntil(b"\r\n\r\n")
            lower = head.lower()
            length = int(lower.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            await reader.readexactly(length)
            self._latencies.append(time.perf_counter() - due)
            self._statuses[head[9:12].decode()] += 1
            self._due.task_done()
            if b"connection: close" in lower:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)


async def _main() -> None:
    port, path, rate, seconds = sys.argv[1:]
    generator = _Generator(int(port), path, os.environ["SPLEETER_API_KEY"])
    print(json.dumps(asdict(await generator.run(float(rate), float(seconds)))))


if __name__ == "__main__":
    asyncio.run(_main())
