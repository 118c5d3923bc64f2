"""Microsoft's own emulator of Azure's blobs, Azurite under Node.js."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import subprocess
import sys
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import httpx

from tests.support.service import free_port
from tests.support.waiting import wait_until

CONTAINER = "songs"
_ACCOUNT = "tests"
_SECRET = b"a secret of the tests"
_PACKAGES = Path(sys.prefix) / "azurite"
_VERSION = "2021-08-06"


@contextlib.contextmanager
def azure_server() -> Iterator[dict[str, str]]:
    """Run the server with an empty container; yield the environment of those who may use it."""
    assert (_PACKAGES / "installed").exists(), "Azurite is not installed: make test installs it, with npm"
    port, key = free_port(), base64.b64encode(_SECRET).decode()
    program = _PACKAGES / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    command = ["node", str(program), "--blobPort", str(port), "--inMemoryPersistence", "--silent"]
    options = ["--skipApiVersionCheck", "--disableTelemetry"]
    server = subprocess.Popen(
        command + options,
        env=os.environ | {"AZURITE_ACCOUNTS": f"{_ACCOUNT}:{key}"},
        stdout=subprocess.DEVNULL,
    )
    endpoint = f"http://127.0.0.1:{port}/{_ACCOUNT}"

    def listens() -> bool:
        assert server.poll() is None, "Azurite has exited"
        with contextlib.suppress(httpx.TransportError):
            _create_container(endpoint)
            return True
        return False

    try:
        wait_until(listens)
        yield {
            "AZURE_STORAGE_ACCOUNT_NAME": _ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": key,
            "AZURE_STORAGE_ENDPOINT": endpoint,
        }
    finally:
        server.kill()
        server.wait()


def _create_container(endpoint: str) -> None:
    """Create the container, with a request that is signed by hand: the store's client cannot create any."""
    date = formatdate(usegmt=True)
    path = f"/{_ACCOUNT}/{_ACCOUNT}/{CONTAINER}"
    parts = ["PUT", *[""] * 11, f"x-ms-date:{date}", f"x-ms-version:{_VERSION}", path, "restype:container"]
    signature = hmac.digest(_SECRET, "\n".join(parts).encode(), hashlib.sha256)
    authorization = f"SharedKey {_ACCOUNT}:{base64.b64encode(signature).decode()}"
    headers = {"x-ms-date": date, "x-ms-version": _VERSION, "Authorization": authorization}
    answer = httpx.put(f"{endpoint}/{CONTAINER}?restype=container", headers=headers, trust_env=False)
    assert answer.status_code == 201, answer.text
