"""Types of the arrays that the package passes around."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
"""Any single-precision array; the function that takes or returns one states its shape."""
Waveform = NDArray[np.float32]
"""Samples, full scale being 1; shape (samples, 2) or (2, samples), as stated where it is used."""
LARGEST_SAMPLE = 1e13
"""Largest absolute value of a sample; energies of louder ones would overflow in single precision."""
Spectrum = NDArray[np.complex64]
"""Short-time Fourier transform of both channels, shape (2, frames, bins)."""
