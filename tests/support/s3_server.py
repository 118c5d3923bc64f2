"""An S3 server in its own process."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from types import TracebackType
from typing import Self

from tests.support.waiting import wait_until

BUCKET = "songs"


class S3Server:
    """moto's server on the loopback interface, with one empty bucket."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that make the service use this server."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "someone",
            "AWS_SECRET_ACCESS_KEY": "a secret",
            "AWS_REGION": "us-east-1",
        }

    def unfinished_uploads(self) -> bool:
        with urllib.request.urlopen(f"{self.url}/{BUCKET}?uploads") as answer:
            return b"<Upload>" in answer.read()

    def start(self) -> None:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        request = urllib.request.Request(f"{self.url}/{BUCKET}", method="PUT")

        def created() -> bool:
            with contextlib.suppress(urllib.error.URLError):
                urllib.request.urlopen(request).close()
                return True
            return False

        wait_until(created)

    def stop(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
