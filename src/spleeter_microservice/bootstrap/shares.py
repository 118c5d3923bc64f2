"""The bounds of everything that tenants share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from spleeter_microservice.access.shares import Bound, Share
from spleeter_microservice.processes.descriptors import most_connections
from spleeter_microservice.sandbox.prober import ProbeLimits
from spleeter_microservice.settings import Settings


def bounds_of(settings: Settings, objects: Path | None = None) -> Iterator[Bound]:
    """Yield the bounds, which ``GET /v1/limits`` lists.

    Uploads, downloads and event streams leave a quarter of a process's connections to short requests.

    Args:
        settings: settings of the process.
        objects: folder of the object store, if it is one.
    """
    connections, probes = most_connections(), ProbeLimits()
    disk = shutil.disk_usage(objects).total * 9 // 10 if objects else None
    table = (
        # share, of each tenant, of all tenants per tenant's, at most
        (Share.UPLOADS, settings.max_uploads, 4, connections // 8),
        (Share.FETCHES, settings.max_fetches, 4, connections // 16),
        (Share.SCANS, 2, 4, None),
        (Share.INSPECTIONS, probes.of_each, probes.processes, None),
        (Share.DOWNLOADS, settings.max_downloads, 4, connections // 8),
        (Share.EVENT_STREAMS, settings.max_event_streams, 4, connections // 2),
        (Share.QUEUED_JOBS, settings.max_queued, 10, None),
        (Share.QUEUED_SECONDS, settings.max_queued_hours * 3600, 10, None),
        (Share.STORED_BYTES, settings.max_stored_gb * 1e9, 10, disk),
        (Share.PENDING_WEBHOOKS, settings.max_pending_webhooks, 10, None),
        (Share.PENDING_UPLOADS, settings.max_queued, 10, None),
    )
    for share, limit, times, most in table:
        in_all = int(limit * times if most is None else min(limit * times, most))
        yield Bound(share, min(int(limit), in_all), in_all)
