"""An S3 server in its own process, with users and policies.

Run as a program, it is moto's server, but answers like S3 where a user may not list: then a missing object is
forbidden, not missing.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Self

import boto3  # type: ignore[import-untyped]  # it has no types
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

from tests.support.waiting import wait_until

BUCKET = "songs"
_ADMINISTRATOR = {"aws_access_key_id": "someone", "aws_secret_access_key": "a secret"}


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
            "AWS_ACCESS_KEY_ID": _ADMINISTRATOR["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": _ADMINISTRATOR["aws_secret_access_key"],
            "AWS_REGION": "us-east-1",
        }

    def administrator(self, service: str) -> Any:
        """Return a client of a service that may do everything."""
        return boto3.client(service, endpoint_url=self.url, region_name="us-east-1", **_ADMINISTRATOR)

    @contextlib.contextmanager
    def restricted_to(self, *actions: str) -> Iterator[dict[str, str]]:
        """Enforce policies, and yield the environment of a user who may only do some actions."""
        iam = self.administrator("iam")
        name = f"user{len(iam.list_users()['Users'])}"
        iam.create_user(UserName=name)
        # moto looks up the right to delete several objects at once for the bucket, unlike S3.
        resources = [f"arn:aws:s3:::{BUCKET}/*", f"arn:aws:s3:::{BUCKET}"]
        statement = {"Effect": "Allow", "Action": actions, "Resource": resources}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        user = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
        self._enforce_policies_after("0")
        try:
            yield self.environment | user
        finally:
            self._enforce_policies_after("inf")

    def _enforce_policies_after(self, requests: str) -> None:
        headers = {"Content-Type": "text/plain"}
        url = f"{self.url}/moto-api/reset-auth"
        request = urllib.request.Request(url, requests.encode(), headers, method="POST")
        urllib.request.urlopen(request).close()

    def unfinished_uploads(self) -> bool:
        with urllib.request.urlopen(f"{self.url}/{BUCKET}?uploads") as answer:
            return b"<Upload>" in answer.read()

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.support.s3_server", str(self.port)]
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


class _AsS3:
    """moto's application, which does not tell users with a policy that an object is missing."""

    def __init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        administrator = _ADMINISTRATOR["aws_access_key_id"] in environ.get("HTTP_AUTHORIZATION", "someone")

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            hidden = status.startswith("404") and not administrator and environ["PATH_INFO"].count("/") > 1
            return start_response("403 Forbidden" if hidden else status, headers, *rest)

        blocks: Iterable[bytes] = self._moto(environ, start)
        return blocks


if __name__ == "__main__":
    run_simple("127.0.0.1", int(sys.argv[1]), _AsS3(), threaded=True)
