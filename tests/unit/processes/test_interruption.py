"""The first signal is deferred until a step is done; the second acts at once."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from spleeter_microservice.processes.interruption import interruptible


@pytest.fixture(autouse=True)
def _python_s_own_handler() -> Iterator[None]:
    """Replace the handler of event loops that other tests keep open, which only cancels a task."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


def test_without_a_signal_nothing_happens() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with interruptible() as check:
        check()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def train(number: signal.Signals, signals: int, steps: list[int]) -> None:
    """Run steps; signals arrive during the second one."""
    with interruptible() as check:
        for step in range(4):
            if step == 1:
                for _ in range(signals):
                    signal.raise_signal(number)
            steps.append(step)
            check()


def test_the_first_signal_acts_when_the_step_is_done() -> None:
    steps: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        train(signal.SIGINT, 1, steps)
    assert steps == [0, 1]
    with pytest.raises(SystemExit) as ended:
        train(signal.SIGTERM, 1, [])
    assert ended.value.code == 143


def test_the_second_signal_acts_at_once() -> None:
    steps: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        train(signal.SIGINT, 2, steps)
    assert steps == [0]


def test_other_threads_which_receive_no_signals_can_run_steps_too() -> None:
    def check_once() -> bool:
        with interruptible() as check:
            check()
        return True

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(check_once).result()
