"""Logs as JSON lines."""

from __future__ import annotations

import logging
import sys
import time
from typing import TextIO

import structlog


class Seldom:
    """Permission to log an event that may happen often, once in a period.

    Args:
        period: seconds from one line to the next.
    """

    def __init__(self, period: float) -> None:
        self._period = period
        self._due = 0.0

    def __call__(self) -> bool:
        """Return whether to log the event now."""
        now = time.monotonic()
        if now < self._due:
            return False
        self._due = now + self._period
        return True


def configure_logging(level: str = "info", stream: TextIO | None = None) -> None:
    """Configure structlog and the standard library's loggers to write JSON lines.

    Each line has the time, the level, the logger, and what is bound to the context: request, job, tenant.

    Args:
        level: the least severe level that is written, such as ``info``.
        stream: stream to write to; standard error by default.
    """
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(sort_keys=False, default=str),
        ],
        foreign_pre_chain=[*_PROCESSORS, structlog.stdlib.ExtraAdder(), _drop_colours],
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.captureWarnings(True)
    for name in _NOISY:  # they log every request, connection or statement
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))
    logging.getLogger(_AUDIT).setLevel(logging.INFO)  # whatever the level: others keep these records
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_PROCESSORS,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


_AUDIT = "spleeter_microservice.audit"
_NOISY = ("uvicorn.access", "httpx", "httpcore", "procrastinate", "asyncio")
_PROCESSORS: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    structlog.processors.StackInfoRenderer(),
    structlog.processors.format_exc_info,
]


def _drop_colours(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    event.pop("color_message", None)  # Uvicorn adds it for terminals
    return event
