"""Processes use as many descriptors as the system allows, and never lower their limit."""

import resource
from resource import RLIM_INFINITY as NONE

import pytest

from spleeter_microservice.processes import descriptors


@pytest.mark.parametrize(
    ("soft", "hard", "raised", "connections"),
    [
        (1024, 4096, 4096, 2048),
        (1024, 1 << 20, 1 << 20, 4096),
        (256, NONE, 10_240, 4096),  # macOS
        (1 << 20, NONE, 1 << 20, 4096),
        (NONE, NONE, NONE, 4096),
    ],
)
def test_the_soft_limit_is_raised_and_connections_use_half(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, raised: int, connections: int
) -> None:
    limits = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: limits.append(new))
    descriptors.raise_limit()
    assert limits[-1] == (raised, hard)
    assert descriptors.most_connections() == connections
