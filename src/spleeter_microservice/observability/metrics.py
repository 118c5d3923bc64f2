"""Metrics for Prometheus.

A metric is one statement below; nothing else needs an edit to add one. If ``PROMETHEUS_MULTIPROC_DIR`` is
set before this module is imported, ``exposition`` adds up the metrics of all processes that share the folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import prometheus_client.values
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    start_http_server,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from spleeter_microservice.errors import ConfigurationError
from spleeter_microservice.observability.metric_file import MetricFile

# Before the first metric is made.
prometheus_client.values.MmapedDict = MetricFile  # type: ignore[assignment, attr-defined]

_LATENCIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_SEPARATIONS = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
_REQUEST_SECONDS = 15.0  # for a client of a worker's metrics to send the next bytes
_FACTORS = (0.5, 1, 2, 5, 10, 20, 30, 40, 60, 80, 100, 200, 400)
_Latest = partial(Gauge, multiprocess_mode="mostrecent")

REQUESTS = Counter("spleeter_requests_total", "HTTP requests answered.", ["method", "route", "status"])
REQUEST_LATENCY = Histogram(
    "spleeter_request_latency_seconds",
    "Seconds from a request to the end of its response.",
    ["method", "route"],
    buckets=_LATENCIES,
)
ERRORS = Counter("spleeter_errors_total", "Problem documents sent, by type.", ["type"])
FILES_PROCESSED = Counter(
    "spleeter_files_processed_total", "Attempts at jobs that ended, by result.", ["model", "result"]
)
CURRENT_JOBS = _Latest("spleeter_current_jobs", "Jobs being separated.")
QUEUE_DEPTH = _Latest("spleeter_queue_depth", "Jobs waiting to start.")
QUEUE_AUDIO_SECONDS = _Latest(
    "spleeter_queue_audio_seconds", "Seconds of audio in the jobs waiting to start."
)
QUEUE_OLDEST_SECONDS = _Latest(
    "spleeter_queue_oldest_seconds", "Seconds that the oldest job has been waiting."
)
READY_WORKERS = _Latest(
    "spleeter_ready_workers", "Live workers that have separated the reference clip correctly."
)
DISK_SHORT = Gauge(
    "spleeter_disk_short",
    "1 if the disk of a folder has too little space left to accept new songs, else 0.",
    ["folder"],
    multiprocess_mode="mostrecent",
)
REALTIME_FACTOR = Histogram(
    "spleeter_realtime_factor", "Seconds of audio separated per second.", ["model"], buckets=_FACTORS
)
SEPARATION_SECONDS = Histogram(
    "spleeter_separation_seconds", "Seconds that a separation took.", ["model"], buckets=_SEPARATIONS
)
UPLOADS_REJECTED = Counter("spleeter_uploads_rejected_total", "Uploads refused, by reason.", ["reason"])
ANTIVIRUS_SCANS = Counter("spleeter_antivirus_scans_total", "Antivirus scans, by result.", ["result"])
CONNECTIONS_CLOSED = Counter(
    "spleeter_connections_closed_total",
    "Connections of clients closed because they were silent or too many, by reason.",
    ["reason"],
)
WORKER_RESTARTS = Counter("spleeter_worker_restarts_total", "Processes restarted, by reason.", ["reason"])

EXPOSITION_TYPE = CONTENT_TYPE_LATEST
"""Media type of what ``exposition`` returns."""


def exposition() -> bytes:
    """Return the metrics of all processes that share them, in Prometheus's text format."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


class _MetricsOfWorker(Collector):
    """The metrics of this process, without those that only the API knows."""

    def collect(self) -> Iterator[Metric]:
        """Return them."""
        known = (CURRENT_JOBS, QUEUE_DEPTH, QUEUE_AUDIO_SECONDS, QUEUE_OLDEST_SECONDS, READY_WORKERS)
        names = {gauge._name for gauge in known}
        return (family for family in REGISTRY.collect() if family.name not in names)


def serve_metrics(host: str, port: int) -> None:
    """Serve the metrics of a stand-alone worker on a port of their own, from a thread.

    Those of the queue are left out: only the API knows them.

    Raises:
        ConfigurationError: if the port cannot be used.
    """
    registry = CollectorRegistry()
    registry.register(_MetricsOfWorker())
    try:
        server, _ = start_http_server(port, host, registry)
    except OSError as error:
        raise ConfigurationError(
            f"Cannot serve metrics on {host}, port {port}: {error.strerror}. Choose another with "
            "SPLEETER_HOST and SPLEETER_METRICS_PORT."
        ) from error
    # Otherwise a silent client keeps a thread for ever, or its end is printed as a traceback.
    server.RequestHandlerClass.timeout = _REQUEST_SECONDS  # type: ignore[attr-defined]
    server.handle_error = lambda *_: None  # type: ignore[method-assign]


def clean_metrics(folder: Path) -> None:
    """Create the folder in which processes share their metrics, or delete those of an earlier run."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*.db"):
        file.unlink(missing_ok=True)


def forget_process(pid: int) -> None:
    """Remove the gauges of a process that has ended from the shared metrics; its counters stay."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        mark_process_dead(pid)  # type: ignore[no-untyped-call]
