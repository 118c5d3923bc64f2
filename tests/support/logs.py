"""The log of the process that runs the tests, as operators read it."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from spleeter_microservice.observability.logs import configure_logging


@contextmanager
def logged(level: str) -> Iterator[io.StringIO]:
    """Log to a stream as the service does, and restore the logging of the tests at the end."""
    root = logging.getLogger()
    handlers, root_level, structure = root.handlers[:], root.level, structlog.get_config()
    stream = io.StringIO()
    configure_logging(level, stream)
    try:
        yield stream
    finally:
        structlog.configure(**structure)
        root.handlers[:] = handlers
        root.setLevel(root_level)
        logging.captureWarnings(False)
