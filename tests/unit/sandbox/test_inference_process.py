"""The pace of a process."""

from __future__ import annotations

import pytest

from spleeter_microservice.sandbox.inference_process import Pace


@pytest.mark.parametrize(
    ("usual", "steps", "allowed"),
    [
        (0.5, (), 30),
        (8.0, (), 80),  # a machine on which starting took long
        (0.5, (0.2, 0.3, 0.2), 30),
        (0.5, (0.2, 12.0, 0.2), 120),  # a machine that has become slow
    ],
)
def test_a_step_may_take_much_longer_than_any_before(
    usual: float, steps: tuple[float, ...], allowed: float
) -> None:
    pace = Pace(30.0, usual)
    for position, seconds in enumerate(steps, 1):
        pace.waited += seconds
        assert not pace.is_stalled
        pace.note(position)
    pace.waited += allowed - 0.1
    pace.note(len(steps) or None)  # no further than before
    assert not pace.is_stalled
    pace.waited += 0.2
    assert pace.is_stalled
