"""Limits on the descriptors of real processes, and strangers who use them up."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

_SOFT = 512


@contextmanager
def low_for_children() -> Iterator[None]:
    """Start programs with a soft limit far below the hard one, as many systems do."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_SOFT, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextmanager
def lowered(pids: Iterable[int], limit: int) -> Iterator[None]:
    """Lower the soft limits of running processes, which must have been as high as the hard ones."""
    before = {pid: resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in pids}
    assert before
    assert all(_SOFT < soft == hard for soft, hard in before.values()), before
    try:
        for pid, (_, hard) in before.items():
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, hard))
        yield
    finally:
        for pid, limits in before.items():
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


@contextmanager
def idle_connections(port: int, count: int) -> Iterator[None]:
    """Hold connections to a server that send nothing."""
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        yield
