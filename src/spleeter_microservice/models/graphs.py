"""The form in which an installed model's networks are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.separation.architecture import GRAPH_VERSION, Architecture

Array = NDArray[np.float32]


@dataclass(frozen=True)
class GraphForm:
    """A way to write networks into a folder, and to read their arrays back."""

    version: int
    write: Callable[[Architecture, Mapping[str, Array], Path], None]
    read: Callable[[Architecture, Path], dict[str, Array]]


def _write(architecture: Architecture, arrays: Mapping[str, Array], folder: Path) -> None:
    # Imported late: onnx takes 0.3 s, and a model that is installed needs no writing.
    from spleeter_microservice.separation import unet  # noqa: PLC0415

    unet.write_networks(architecture, arrays, folder)


def _read(architecture: Architecture, folder: Path) -> dict[str, Array]:
    from spleeter_microservice.separation import unet  # noqa: PLC0415  (as above)

    return unet.read_arrays(architecture, folder)


CURRENT = GraphForm(GRAPH_VERSION, _write, _read)
