"""Traces for operators, sent over OTLP; without an endpoint nothing is imported, and nothing costs.

A request's span is the parent of its job's, which a worker adds, and of its webhooks': the job's row
carries ``traceparent`` (W3C Trace Context) from one to the other.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Literal

from spleeter_microservice.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span as OtelSpan

Kind = Literal["server", "client", "consumer"]
Attributes = Mapping[str, str | int | float | bool | None]
"""By OpenTelemetry's names, or ours."""

_PARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)
_NAME = "spleeter_microservice"
_EXPORT_SECONDS = 5.0  # for a batch; also how long an absent collector holds up the end of a process
_provider: TracerProvider | None = None


class Span:
    """Something that took a while; this one is told to nobody.

    Attributes:
        traceparent: for what it caused elsewhere; None when there are no traces.
    """

    traceparent: str | None = None

    def note(self, attributes: Attributes) -> None:
        """Add what became known on the way; what is None is left out."""

    def fail(self, why: str) -> None:
        """Mark it as failed, for a reason that holds no secret."""


class _LiveSpan(Span):
    def __init__(self, span: OtelSpan) -> None:
        self._span = span
        context = span.get_span_context()
        flags = int(context.trace_flags)
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}"

    def note(self, attributes: Attributes) -> None:
        for name, value in attributes.items():
            if value is not None:
                self._span.set_attribute(name, value)

    def fail(self, why: str) -> None:
        from opentelemetry.trace import Status, StatusCode

        self._span.set_status(Status(StatusCode.ERROR, why))


_NOTHING = Span()


def configure_tracing(endpoint: str | None, part: str, version: str) -> None:
    """Send what this process does to a collector; without an endpoint, to none.

    Args:
        endpoint: base address of an OTLP collector, over HTTP: ``OTEL_EXPORTER_OTLP_ENDPOINT``.
        part: that the process is, ``api`` or ``worker``.
        version: of the program.

    Raises:
        ConfigurationError: when the packages for it are not installed.
    """
    if endpoint is None or _provider is not None:
        return
    try:
        _start(f"{endpoint.rstrip('/')}/v1/traces", part, version)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is not installed. Install it: "
            "pip install 'spleeter-microservice[tracing]'"
        ) from error


def _start(endpoint: str, part: str, version: str) -> None:
    global _provider  # noqa: PLW0603  (one per process, as logs and metrics are)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    about = {"service.name": f"spleeter-{part}", "service.version": version}
    provider = TracerProvider(resource=Resource.create(about))
    exporter = OTLPSpanExporter(endpoint, timeout=_EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    _provider = provider


def close_tracing() -> None:
    """Send what is left, and stop; done at a process's end by itself."""
    global _provider
    provider, _provider = _provider, None
    if provider is not None:
        provider.shutdown()


def is_tracing() -> bool:
    """Tell whether there are traces."""
    return _provider is not None


def span(
    name: str, kind: Kind, attributes: Attributes, parent: str | None = None
) -> AbstractContextManager[Span]:
    """Have what is done within the context told as a span.

    An exception that leaves the context marks it as failed; of it only the class is told.

    Args:
        name: of few kinds; what differs goes into attributes.
        kind: its place among others.
        attributes: more about it; what is None is left out.
        parent: ``traceparent`` of what caused it; by default the span that is open here.
    """
    if _provider is None:
        return contextlib.nullcontext(_NOTHING)
    return _span(_provider, name, kind, attributes, parent)


@contextlib.contextmanager
def _span(
    provider: TracerProvider, name: str, kind: Kind, attributes: Attributes, parent: str | None
) -> Iterator[Span]:
    from opentelemetry.trace import SpanKind

    begin = provider.get_tracer(_NAME).start_as_current_span(
        name,
        _context(parent),
        SpanKind[kind.upper()],
        record_exception=False,  # its message may hold what nobody else may know
        set_status_on_exception=False,
    )
    with begin as opened:
        live = _LiveSpan(opened)
        live.note(attributes)
        try:
            yield live
        except Exception as error:
            live.fail(type(error).__name__)
            raise


def _context(parent: str | None) -> Context | None:
    if parent is None or not _PARENT.fullmatch(parent):
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": parent})


def traceparent() -> str | None:
    """Give what the span that is open here is called elsewhere."""
    if _provider is None:
        return None
    from opentelemetry.trace import get_current_span

    current = get_current_span()
    return _LiveSpan(current).traceparent if current.get_span_context().is_valid else None
