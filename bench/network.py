"""The limit of the networks' speed: their operations and the machine's matrix product."""

import time

import numpy as np

from spleeter_microservice.separation.spleeter.architecture import (
    KERNEL_SIZE,
    LAYERS,
    MASK_KERNEL_SIZE,
    UNetArchitecture,
)


def operations(architecture: UNetArchitecture) -> int:
    """Return the number of floating-point operations of one network on one segment.

    This counts the multiplications and additions of the convolutions by definition: a transposed
    convolution multiplies each input by its whole kernel.
    """
    pixels = architecture.segment_frames * architecture.bins
    sizes = (2, *architecture.conv_n_filters)
    taps = KERNEL_SIZE**2
    total: int = sum(pixels // 4 ** (j + 1) * taps * sizes[j] * sizes[j + 1] for j in range(LAYERS))
    outputs = (*reversed(architecture.conv_n_filters[:-1]), 1)
    for j in range(LAYERS):
        inputs = architecture.conv_n_filters[-1] if j == 0 else 2 * outputs[j - 1]
        total += pixels // 4 ** (LAYERS - j) * taps * inputs * outputs[j]
    total += pixels * MASK_KERNEL_SIZE**2 * 2
    return 2 * total


def matrix_product_rate(seconds: float) -> float:
    """Measure the floating-point operations per second of NumPy's matrix product on all available cores."""
    size = 2048
    a = np.random.default_rng(0).random((size, size), np.float32)
    np.matmul(a, a)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        np.matmul(a, a)
        count += 1
    return count * 2 * size**3 / (time.perf_counter() - start)
