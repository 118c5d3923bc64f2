"""The pace of a process, and the error for each bound."""

from __future__ import annotations

import pytest

from spleeter_microservice import errors
from spleeter_microservice.sandbox.bounds import Bounds, Pace, Usage


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


@pytest.mark.parametrize(
    ("elapsed", "processor", "usage", "error"),
    [
        (9.9, 4.9, Usage(1 << 20, 2, 100.0), None),
        (9.9, 4.9, None, None),
        (10.1, 0.0, None, errors.JobTimeLimitError),
        (0.0, 5.1, None, errors.JobTimeLimitError),
        (0.0, 0.0, Usage((1 << 20) + 1, 2, 0.0), errors.JobMemoryLimitError),
        (0.0, 0.0, Usage(1 << 20, 3, 0.0), errors.InferenceCrashedError),
    ],
)
def test_the_bound_that_is_exceeded_decides_the_error(
    elapsed: float, processor: float, usage: Usage | None, error: type[errors.InferenceError] | None
) -> None:
    bounds = Bounds("The job", Pace(30.0), 1 << 20, 10.0, 5.0, 2)
    found = bounds.exceeded(elapsed, processor, usage)
    assert type(found) is (error or type(None))
    assert error is None or str(found).startswith("The job ")
