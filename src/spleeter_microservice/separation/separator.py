"""The separator of a model, loaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spleeter_microservice.models.directory import InstalledModel
    from spleeter_microservice.separation.spleeter.pipeline import Bandwidth, Pipeline


@contextmanager
def open_pipeline(
    model: InstalledModel, *, mwf: bool = False, bandwidth: Bandwidth = "official", cores: int | None = None
) -> Iterator[Pipeline]:
    """Load a model's networks and give a pipeline that separates with them."""
    from spleeter_microservice.separation.spleeter.cascade import load_networks
    from spleeter_microservice.separation.spleeter.pipeline import Pipeline

    base = model.base.folder if model.base else None
    networks = load_networks(model.folder, model.architecture, cores, base)
    with Pipeline(model.architecture, networks, mwf=mwf, bandwidth=bandwidth) as pipeline:
        yield pipeline
