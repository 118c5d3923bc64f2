"""A real S3 server with users and policies: Ceph's object gateway, with its storage in memory."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3  # type: ignore[import-untyped]  # it has no types

from tests.support.service import free_port
from tests.support.waiting import wait_until

BUCKET = "songs"
_ADMINISTRATOR = "administrator"
_SECRET = "a-secret"
# One copy of everything; no wait for further changes of the cluster; no check of the disk.
_SETTINGS = """\
[global]
fsid = {cluster}
mon host = v2:127.0.0.1:{port}
public addr = 127.0.0.1
ms bind msgr1 = false
keyring = {folder}/keyring
admin socket =
log file = {folder}/$name.log
crash dir = {folder}
mon data = {folder}/mon
mon allow pool size one = true
mon data avail crit = 0
paxos propose interval = 0.05
paxos min wait = 0.01
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 1073741824
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
rgw data = {folder}
rgw rados pool pg num min = 1
rgw run sync thread = false
"""


class S3Server:
    """Ceph's object gateway on the loopback interface, with one empty bucket."""

    def __init__(self) -> None:
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._folder = tempfile.TemporaryDirectory()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._users = itertools.count()

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that make the service use this server."""
        return self._environment(_ADMINISTRATOR)

    def _environment(self, user: str) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": user,
            "AWS_SECRET_ACCESS_KEY": _SECRET,
            "AWS_REGION": "us-east-1",
        }

    @cached_property
    def administrator(self) -> Any:
        """A client that may do everything."""
        keys = {"aws_access_key_id": _ADMINISTRATOR, "aws_secret_access_key": _SECRET}
        return boto3.client("s3", endpoint_url=self.url, region_name="us-east-1", **keys)

    def restricted_to(self, *actions: str) -> dict[str, str]:
        """Return the environment of a new user, the only one who may do these actions with all objects."""
        user = f"user{next(self._users)}"
        self._add_user(user)
        subject = {
            "Principal": {"AWS": [f"arn:aws:iam:::user/{user}"]},
            "Resource": [f"arn:aws:s3:::{BUCKET}/*"],
        }
        # Users may read what they have written unless that is denied; Ceph ignores NotAction.
        others = {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"}.difference(actions)
        statements = [
            {"Effect": "Allow", "Action": actions, **subject},
            {"Effect": "Deny", "Action": sorted(others), **subject},
        ]
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        self.administrator.put_bucket_policy(Bucket=BUCKET, Policy=policy)
        return self._environment(user)

    def unfinished_uploads(self) -> bool:
        return "Uploads" in self.administrator.list_multipart_uploads(Bucket=BUCKET)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop the gateway for a while; the objects stay."""
        gateway = self._processes.pop()
        gateway.terminate()  # killed, it would delay changes of users and policies
        gateway.wait()
        yield
        self._start_gateway()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop the gateway, which then accepts connections but answers nothing, until the block ends."""
        self._processes[-1].send_signal(signal.SIGSTOP)
        yield
        self._processes[-1].send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        folder, port = Path(self._folder.name), free_port()
        cluster, disk = str(uuid.uuid4()), str(uuid.uuid4())
        (folder / "ceph.conf").write_text(_SETTINGS.format(cluster=cluster, port=port, folder=folder))
        for name in ("mon", "osd"):
            (folder / name).mkdir()
        keyring, monitors = str(folder / "keyring"), str(folder / "monitors")
        _run("ceph-authtool", "--create-keyring", keyring)
        for name in ("mon.", "osd.0", "client.admin"):
            rights = ("--cap", "mon", "allow *", "--cap", "osd", "allow *")
            _run("ceph-authtool", keyring, "--gen-key", "--name", name, *rights)
        _run("monmaptool", "--create", "--fsid", cluster, "--addv", "a", f"[v2:127.0.0.1:{port}]", monitors)
        self._run("ceph-mon", "--id", "a", "--mkfs", "--monmap", monitors)
        self._start("ceph-mon", "--id", "a", port=port)
        self._run("ceph", "osd", "new", disk)
        self._run("ceph-osd", "--id", "0", "--mkfs", "--osd-uuid", disk)
        self._start("ceph-osd", "--id", "0")
        self._start_gateway()
        self._add_user(_ADMINISTRATOR)
        self.administrator.create_bucket(Bucket=BUCKET)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        self._folder.cleanup()

    def _start_gateway(self) -> None:
        self._start("radosgw", "--rgw-frontends", f"beast endpoint=127.0.0.1:{self._port}", port=self._port)

    def _start(self, *command: str, port: int | None = None) -> None:
        """Start a daemon, and wait until it listens if it is told a port."""
        log = Path(self._folder.name, f"{command[0]}.out")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*self._configured(*command), "--foreground"], stdout=output, stderr=output
            )
        self._processes.append(process)

        def listens() -> bool:
            assert process.poll() is None, log.read_text()
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port or 0)).close()
                return True
            return False

        if port is not None:
            wait_until(listens)

    def _add_user(self, name: str) -> None:
        keys = ("--access-key", name, "--secret-key", _SECRET)
        self._run("radosgw-admin", "user", "create", "--uid", name, "--display-name", name, *keys)

    def _run(self, *command: str) -> None:
        _run(*self._configured(*command))

    def _configured(self, program: str, *arguments: str) -> list[str]:
        return [program, "--conf", f"{self._folder.name}/ceph.conf", *arguments]


def _run(*command: str) -> str:
    assert shutil.which(command[0]), f"{command[0]} is not installed: make components"
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr}{done.stdout}"
    return done.stdout
