"""A fork finds no call into ONNX Runtime in progress."""

import threading

from spleeter_microservice.separation.spleeter.forking import Calls
from tests.support.waiting import wait_until


def test_a_fork_waits_for_the_calls_in_progress_and_holds_up_others() -> None:
    calls, order = Calls(), list[str]()
    entered, leave, forked = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with calls:
            entered.set()
            leave.wait(60)
            order.append("first call ended")

    def fork() -> None:
        calls.before_fork()
        order.append("forked")
        forked.wait(60)
        calls.after_fork()

    def second() -> None:
        with calls:
            order.append("second call")

    threads = [threading.Thread(target=action) for action in (first, fork, second)]
    threads[0].start()
    assert entered.wait(60)
    threads[1].start()
    wait_until(lambda: calls._forking)
    threads[2].start()
    leave.set()
    wait_until(lambda: "forked" in order)
    forked.set()
    for thread in threads:
        thread.join()
    assert order == ["first call ended", "forked", "second call"]


def test_a_forked_process_begins_with_no_call() -> None:
    calls = Calls()
    calls.__enter__()  # of a thread that the forked process lacks
    calls.begin()
    calls.before_fork()  # would wait for ever otherwise
