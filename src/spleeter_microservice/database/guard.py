"""A guard that stops the embedded PostgreSQL when its owner ends without doing so."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spleeter_microservice.database.postgres_binaries import Programs

# The owner holds the other end of the pipe, which closes even if the owner is killed. What the owner had
# started may then finish its work and disconnect.
_SCRIPT = 'read -r _; "$@" --mode smart --timeout 30 || "$@" --mode fast'


@contextmanager
def guarded(programs: Programs, cluster: Path) -> Iterator[None]:
    """Stop the server of a cluster if this process ends within the block, even if it is killed."""
    stop, switches = programs.command("pg_ctl", "stop", "--pgdata", str(cluster))
    command = ["/bin/sh", "-c", _SCRIPT, "sh", *stop]
    switches["stdin"] = subprocess.PIPE
    with subprocess.Popen(command, start_new_session=True, **switches) as guard:  # noqa: S603
        try:
            yield
        finally:
            guard.kill()
