"""The first signal waits until it is asked for, the second does not."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from spleeter_microservice.processes.interruption import interruptible


def test_nothing_happens_without_a_signal() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with interruptible() as check:
        check()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def train(number: signal.Signals, signals: int, steps: list[int]) -> None:
    """Take steps, during the second of which signals arrive."""
    with interruptible() as check:
        for step in range(4):
            if step == 1:
                for _ in range(signals):
                    os.kill(os.getpid(), number)
            steps.append(step)
            check()


def test_a_signal_ends_the_training_when_the_step_is_done() -> None:
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


def test_threads_that_get_no_signals_can_train_too() -> None:
    def check_once() -> bool:
        with interruptible() as check:
            check()
        return True

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(check_once).result()
