"""A real Chromium without a window, driven by the W3C's WebDriver protocol through chromedriver."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.waiting import eventually

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the protocol's name for "reference to an element"
_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--hide-scrollbars",  # they would take their width from the narrowest screens
    "--autoplay-policy=no-user-gesture-required",
    "--mute-audio",
)
TAB, ENTER, SHIFT, CONTROL, ESCAPE, RIGHT = "\ue004", "\ue007", "\ue008", "\ue009", "\ue00c", "\ue014"


def program(package: str, *names: str) -> str:
    """Return the path of a program that has several names."""
    found = filter(None, map(shutil.which, names))
    return next(found, None) or pytest.fail(f"{names[0]} is not installed: make components")


@contextlib.contextmanager
def running(**environ: str) -> Iterator[str]:
    """Start a browser with more variables, yield the URL of its session, and close it."""
    chromium = program("chromium", "chromium", "google-chrome")
    driver = program("chromium-driver", "chromedriver")
    with tempfile.TemporaryDirectory(prefix="chromium-") as folder, _driver(driver, environ) as address:
        options = {"binary": chromium, "args": [*_ARGUMENTS, f"--user-data-dir={folder}"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        with httpx.Client(base_url=address, timeout=None, verify=False) as client:
            answer = client.post("/session", json={"capabilities": {"alwaysMatch": wanted}})
            session = f"/session/{_value(answer)['sessionId']}"
            try:
                yield address + session
            finally:
                client.delete(session)


@contextlib.contextmanager
def _driver(path: str, environ: Mapping[str, str], attempts: int = 5) -> Iterator[str]:
    command = [path, "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | environ) as process:
        try:
            assert process.stdout
            for line in process.stdout:
                if found := re.search(r"successfully on port (\d+)", line):
                    yield f"http://127.0.0.1:{found[1]}"
                    return
        finally:
            process.terminate()
    if attempts == 1:
        raise RuntimeError("chromedriver does not start")
    # The port that was free for IPv4 was in use for IPv6.
    with _driver(path, environ, attempts - 1) as address:
        yield address


def _value(answer: httpx.Response) -> Any:
    value = answer.json()["value"]
    assert answer.is_success, value
    return value


class Browser:
    """A page in the browser; elements are named by CSS selectors."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        return _value(await self._client.post(path, json=body))

    async def open(self, url: str) -> None:
        """Open a URL, and discard what the console has logged so far."""
        await self.console()
        await self._post("/url", {"url": url})

    async def run(self, script: str, *arguments: object) -> Any:
        """Run JavaScript and return its result."""
        return await self._post("/execute/sync", {"script": script, "args": arguments})

    async def run_async(self, script: str, *arguments: object) -> Any:
        """Run JavaScript until it calls its last argument, and return what it passes on."""
        return await self._post("/execute/async", {"script": script, "args": arguments})

    async def until(self, expression: str) -> Any:
        """Wait until an expression is true in the page."""
        try:
            value = await eventually(lambda: self.run(f"return {expression}"))
        except AssertionError:
            raise AssertionError(
                f"never true: {expression}; the page says {await self.text('body')!r}"
            ) from None
        return value

    async def text(self, selector: str) -> str:
        """Return the visible text of an element."""
        return str(await self.run("return document.querySelector(arguments[0]).innerText", selector))

    async def shows(self, selector: str, text: str) -> None:
        """Wait until an element is visible and contains a text."""
        await self.until(
            f"document.querySelector({selector!r})?.checkVisibility() && "
            f"document.querySelector({selector!r}).innerText.includes({text!r})"
        )

    async def click(self, selector: str) -> None:
        """Click an element."""
        await self._post(f"/element/{await self._find(selector)}/click", {})

    async def type(self, selector: str, text: str) -> None:
        """Type into an element; a file input takes the file's path."""
        await self._post(f"/element/{await self._find(selector)}/value", {"text": text})

    async def press(self, *keys: str) -> None:
        """Press keys at the same time, and release them; WebDriver has characters for those without one."""
        events = [{"type": "keyDown", "value": key} for key in keys]
        events += [{"type": "keyUp", "value": key} for key in reversed(keys)]
        await self._post("/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": events}]})

    async def _find(self, selector: str) -> str:
        found = await self._post("/element", {"using": "css selector", "value": selector})
        return str(found[_ELEMENT])

    async def devtools(self, command: str, **parameters: object) -> Any:
        """Send a command of Chromium's own protocol."""
        return await self._post("/goog/cdp/execute", {"cmd": command, "params": parameters})

    async def look(self, width: int, scheme: str = "light") -> None:
        """Emulate a screen of this width with a colour scheme."""
        await self.devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        wanted = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in wanted.items()]
        await self.devtools("Emulation.setEmulatedMedia", features=features)

    async def screenshot(self, path: Path) -> None:
        """Save a screenshot as PNG."""
        found = await self.devtools("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))

    async def console(self) -> list[str]:
        """Return what the console has logged since the last call."""
        return [line["message"] for line in await self._post("/se/log", {"type": "browser"})]
