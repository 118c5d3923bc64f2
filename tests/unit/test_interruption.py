"""The first signal waits until it is asked for, the second does not."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from spleeter_microservice.training.interruption import interruptible


def test_nothing_happens_without_a_signal() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with interruptible() as check:
        check()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_signal_is_raised_when_the_step_is_done() -> None:
    done = False
    with pytest.raises(KeyboardInterrupt), interruptible() as check:
        os.kill(os.getpid(), signal.SIGINT)
        done = True
        check()
    assert done
    with pytest.raises(SystemExit) as ended, interruptible() as check:
        os.kill(os.getpid(), signal.SIGTERM)
        check()
    assert ended.value.code == 143


def test_the_second_one_acts_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), interruptible():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("the second signal was held back")


def test_threads_that_get_no_signals_can_train_too() -> None:
    def train() -> bool:
        with interruptible() as check:
            check()
        return True

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(train).result()
