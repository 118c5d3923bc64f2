"""A real PgBouncer in transaction mode, in front of the tests' PostgreSQL."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from spleeter_microservice.database.unprivileged_user import substitute_for_root
from tests.support.service import free_port
from tests.support.waiting import wait_until

_SETTINGS = """\
[databases]
* = host={sockets} user={user}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
"""


@contextmanager
def pooled(url: str) -> Iterator[str]:
    """Yield a URL of the same database that leads through PgBouncer, with three connections to the server."""
    program = shutil.which("pgbouncer", path=f"{os.defpath}:/usr/sbin")
    assert program, "pgbouncer is not installed: make components"
    target, port = conninfo_to_dict(url), free_port()
    pooled_url = f"postgresql://{target['user']}@127.0.0.1:{port}/{target['dbname']}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        settings = _SETTINGS.format(sockets=target["host"], user=target["user"], port=port)
        (folder / "pgbouncer.ini").write_text(settings)
        command = [program, str(folder / "pgbouncer.ini")]
        switches: dict[str, Any] = {}
        if account := substitute_for_root():  # whose socket it is; PgBouncer refuses root too
            command, switches = account.command(command, folder)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stderr=log, stdout=log, **switches)

        def answers() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            try:
                psycopg.connect(pooled_url, connect_timeout=2).close()
            except psycopg.OperationalError:
                return False
            return True

        try:
            wait_until(answers)
            yield pooled_url
        finally:
            process.terminate()
            process.wait()
