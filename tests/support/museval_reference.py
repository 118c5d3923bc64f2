"""museval's own BSSEval version 4."""

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray


@cache
def _metrics() -> ModuleType:
    """Load the module alone: importing the whole package fails without ffmpeg."""
    package = importlib.util.find_spec("museval")
    assert package is not None
    assert package.submodule_search_locations
    path = Path(package.submodule_search_locations[0], "metrics.py")
    spec = importlib.util.spec_from_file_location("museval_metrics", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def reference(
    references: NDArray[np.float32], estimates: NDArray[np.float32], window: int, taps: int
) -> NDArray[np.float64]:
    """Return SDR, SIR, SAR and ISR in dB, shape (stems, windows, 4), of arrays (stems, samples, 2)."""
    sdr, isr, sir, sar, _ = _metrics().bss_eval(
        references, estimates, window=window, hop=window, filters_len=taps
    )
    return np.stack([sdr, sir, sar, isr], axis=-1)
