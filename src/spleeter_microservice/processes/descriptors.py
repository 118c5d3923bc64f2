"""The descriptors that a process may have open, and how many of them connections may use."""

from __future__ import annotations

import resource

_MOST_CONNECTIONS = 4096
_MACOS_DESCRIPTORS = 10_240  # macOS accepts no more, although it states no hard limit


def raise_limit() -> None:
    """Raise the soft limit on open descriptors to the hard one, also for processes that are started later.

    Many systems start programs with a soft limit of 1,024, for the sake of those that call ``select``.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    elif 0 <= soft < _MACOS_DESCRIPTORS:  # a negative number is no limit either
        resource.setrlimit(resource.RLIMIT_NOFILE, (_MACOS_DESCRIPTORS, hard))


def most_connections() -> int:
    """Return how many connections of clients a process may hold.

    They may use half of its descriptors. The rest is kept for spooled files, the database, the store and the
    fetches that the requests cause.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else min(_MOST_CONNECTIONS, soft // 2)
