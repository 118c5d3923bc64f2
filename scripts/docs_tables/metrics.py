"""The table of metrics in docs/operations.md."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics import MetricWrapperBase

from scripts.markdown import table
from spleeter_microservice.observability import metrics


def _metrics() -> Iterator[str]:
    found = [value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)]
    return table(("Metric", "Type", "Meaning"), map(_row, found))


def _row(metric: MetricWrapperBase) -> tuple[str, str, str]:
    (family,) = metric.describe()
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = f"{{{','.join(metric._labelnames)}}}" if metric._labelnames else ""
    return f"`{name}{labels}`", family.type, family.documentation


TABLES = {"metrics": _metrics}
