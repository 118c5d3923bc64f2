"""Gunicorn's configuration for the API: ``gunicorn -c python:spleeter_microservice.bootstrap.gunicorn``."""

from __future__ import annotations

import asyncio
import logging
import math
import mmap
import os
import signal
import sys
from typing import Any, ClassVar

from gunicorn.glogging import Logger as GunicornLogger  # type: ignore[import-untyped]
from uvicorn_worker import UvicornWorker

from spleeter_microservice.bootstrap.shared import make_folder, metrics_folder
from spleeter_microservice.errors import ConfigurationError, SpleeterError
from spleeter_microservice.processes.descriptors import raise_limit
from spleeter_microservice.settings import Settings, misspelt_variables

_ENDING_SECONDS = 10  # for a worker to answer the requests that it cuts, before Gunicorn kills it

logger = logging.getLogger(__name__)

try:
    _settings = Settings.from_environment(os.environ)
    _settings.require_database("the API")
    make_folder(metrics_folder(_settings))
except ConfigurationError as error:
    sys.stderr.write(f"{error.report()}\n")
    sys.exit(error.exit_status)
# Before ``metrics`` is imported, which then opens files in that folder.
os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", str(metrics_folder(_settings)))

from spleeter_microservice.web.server import UVICORN_OPTIONS  # noqa: E402  (it imports ``metrics``)

raise_limit()
_host = f"[{_settings.host}]" if ":" in _settings.host else _settings.host
bind = [f"{_host}:{_settings.port}"]
workers = _settings.api_processes
worker_class = "spleeter_microservice.bootstrap.gunicorn.ApiWorker"
_grace = math.ceil(_settings.api_grace_s)
graceful_timeout = _grace + _ENDING_SECONDS
control_socket_disable = True  # nothing uses it, and it would be in a home folder that may not exist
accesslog = None  # the application logs requests itself
logger_class = "spleeter_microservice.bootstrap.gunicorn.JsonLogger"
_status = mmap.mmap(-1, 1)  # exit status, shared by the workers and their parent


class ApiWorker(UvicornWorker):  # type: ignore[misc]  # it has no types
    """Uvicorn under Gunicorn, with the same limits as under ``serve``."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "auto",
        **UVICORN_OPTIONS,
        "timeout_keep_alive": _settings.keep_alive_s,
        "timeout_graceful_shutdown": _grace,
    }

    def run(self) -> None:
        """Serve until told to stop; stop all workers if the API cannot run."""
        self.wsgi.end = _end
        super().run()

    async def _serve(self) -> None:
        """Serve while Gunicorn runs, and notify it of being alive until the last request has ended."""
        notifying = asyncio.create_task(self._notify_regularly())
        await super()._serve()
        notifying.cancel()

    async def _notify_regularly(self) -> None:
        while os.getppid() == self.ppid:
            self.notify()
            await asyncio.sleep(1)
        signal.raise_signal(signal.SIGTERM)


class JsonLogger(GunicornLogger):  # type: ignore[misc]  # it has no types
    """Gunicorn's log in the lines of this service."""

    def setup(self, cfg: Any) -> None:
        """Configure this process's log."""
        from spleeter_microservice.observability.logs import configure_logging  # noqa: PLC0415  (see above)

        configure_logging(_settings.log_level)
        self.error_log.propagate = True


def _end(error: Exception) -> None:
    _status[0] = error.exit_status if isinstance(error, SpleeterError) else 1
    os.kill(os.getppid(), signal.SIGTERM)


def on_exit(_server: Any) -> None:
    """Exit with the status of the error because of which the API cannot run."""
    if _status[0]:
        sys.exit(_status[0])


def on_starting(_server: Any) -> None:
    """Delete the metrics of an earlier run."""
    from spleeter_microservice.observability.metrics import clean_metrics  # noqa: PLC0415  (see above)

    for warning in misspelt_variables(os.environ):
        logger.warning(warning)
    clean_metrics(metrics_folder(_settings))


def child_exit(_server: Any, worker: Any) -> None:
    """Remove the gauges of a worker that has ended."""
    from spleeter_microservice.observability.metrics import forget_process  # noqa: PLC0415  (see above)

    forget_process(worker.pid)
