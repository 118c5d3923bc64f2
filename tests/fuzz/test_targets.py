"""Every target of ``make fuzz`` takes the inputs that its search begins with."""

from __future__ import annotations

import pytest

from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_its_seeds(name: str) -> None:
    seeds = [*TARGETS[name].seeds()]
    assert seeds
    for seed in (b"", *seeds):
        TARGETS[name].take(seed)
