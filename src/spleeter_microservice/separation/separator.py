"""The separator of a model, loaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spleeter_microservice.models.directory import InstalledModel
    from spleeter_microservice.separation.spleeter.pipeline import Bandwidth, SpleeterSeparator


@contextmanager
def open_pipeline(
    model: InstalledModel, *, mwf: bool = False, bandwidth: Bandwidth = "official", cores: int | None = None
) -> Iterator[SpleeterSeparator]:
    """Load a model's networks and give a pipeline that separates with them."""
    from spleeter_microservice.separation.spleeter.cascade import load_networks
    from spleeter_microservice.separation.spleeter.pipeline import SpleeterSeparator

    base = model.base.folder if model.base else None
    networks = load_networks(model.folder, model.architecture, cores, base)
    with SpleeterSeparator(model.architecture, networks, mwf=mwf, bandwidth=bandwidth) as pipeline:
        yield pipeline
