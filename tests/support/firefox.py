"""A real Firefox without a window, driven by W3C's WebDriver BiDi, which it speaks without a driver."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse

from tests.support.chromium import program
from tests.support.waiting import eventually

# Without a sound card, nothing would play: a simulated one keeps time.
_PREFERENCES = 'user_pref("media.cubeb.force_mock_context", true);'


class Firefox:
    """A page in the browser."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._context = ""

    async def command(self, method: str, **parameters: object) -> Any:
        """Send a command and return its result."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while (answer := await self._socket.receive_json()).get("id") != number:
            pass
        assert answer["type"] == "success", answer
        return answer["result"]

    async def open(self, url: str) -> None:
        """Open a URL in a new tab."""
        tab = await self.command("browsingContext.create", type="tab")
        self._context = tab["context"]
        await self.command("browsingContext.navigate", context=self._context, url=url, wait="complete")

    async def run(self, expression: str) -> Any:
        """Return the value of a JavaScript expression: text, a number, a truth value, an element, or None."""
        target = {"context": self._context}
        answer = await self.command(
            "script.evaluate", expression=expression, target=target, awaitPromise=True, userActivation=True
        )
        result = answer["result"]
        return result if result["type"] == "node" else result.get("value")

    async def until(self, expression: str) -> None:
        """Wait until an expression is true in the page."""
        try:
            await eventually(lambda: self.run(f"Boolean({expression})"))
        except AssertionError:
            says = await self.run("document.body.innerText")
            raise AssertionError(f"never true: {expression}; the page says {says!r}") from None

    async def choose(self, selector: str, path: Path) -> None:
        """Choose a file in a field for files."""
        element = await self.run(f"document.querySelector({selector!r})")
        await self.command(
            "input.setFiles",
            context=self._context,
            element={"sharedId": element["sharedId"]},
            files=[str(path)],
        )


@asynccontextmanager
async def running(**environ: str) -> AsyncIterator[Firefox]:
    """Start a browser with a new profile and more variables, and end it."""
    path = program("firefox-esr", "firefox-esr", "firefox")
    with tempfile.TemporaryDirectory(prefix="firefox-", ignore_cleanup_errors=True) as profile:
        (Path(profile) / "user.js").write_text(_PREFERENCES, encoding="ascii")
        process = await asyncio.create_subprocess_exec(
            path,
            *("--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | environ,
        )
        try:
            async with ClientSession() as client:
                url = await _address(process)
                async with client.ws_connect(f"{url}/session", max_msg_size=0) as socket:
                    firefox = Firefox(socket)
                    await firefox.command("session.new", capabilities={})
                    yield firefox
        finally:
            process.terminate()
            await process.communicate()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr
    async for line in process.stderr:
        if found := re.search(rb"WebDriver BiDi listening on (ws://\S+)", line):
            return found[1].decode()
    raise RuntimeError("Firefox does not start")
