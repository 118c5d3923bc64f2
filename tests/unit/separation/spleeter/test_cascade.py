"""Of two computations the last one goes on with both results, and an error reaches whoever waits."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from spleeter_microservice.arrays import Array
from spleeter_microservice.separation.spleeter.cascade import _Pair


def constant(value: float) -> Array:
    return np.full((1, 2), value, np.float32)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_third_computation_gets_both_results_in_order(threads: int) -> None:
    pair = _Pair(lambda found: found[0] - found[1])
    with ThreadPoolExecutor(threads) as pool:
        pool.submit(pair.add, 1, lambda: constant(1))
        pool.submit(pair.add, 0, lambda: constant(3))
        np.testing.assert_array_equal(pair.result.result(), constant(2)[0])


def test_an_error_of_either_is_an_error_of_the_result() -> None:
    def fail() -> Array:
        raise MemoryError

    pair = _Pair(lambda found: found[0])
    pair.add(0, lambda: constant(1))
    with pytest.raises(MemoryError):
        pair.add(1, fail)
    with pytest.raises(MemoryError):
        pair.result.result()
