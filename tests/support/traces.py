"""Spans that a collector of traces received."""

from __future__ import annotations

from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NoOpTracerProvider

from spleeter_microservice.observability import tracing
from tests.support.http_servers import Server


def close_tracing() -> None:
    """Export the spans that are left, and stop tracing, as the end of a process does."""
    provider = tracing.tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.shutdown()
    tracing._provider = NoOpTracerProvider()


def spans(collector: Server) -> list[dict[str, Any]]:
    """Return the received spans as plain values; ids are in hexadecimal, attributes by name."""
    found = []
    for body in collector.bodies:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _values(resource.resource.attributes)["service.name"]
            for scope in resource.scope_spans:
                found += [_plain(span) | {"service": service} for span in scope.spans]
    return found


def _plain(span: Any) -> dict[str, Any]:
    return {
        "name": span.name,
        "kind": span.kind,
        "trace": span.trace_id.hex(),
        "id": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "failed": span.status.code == 2,
        "events": [event.name for event in span.events],
        **_values(span.attributes),
    }


def _values(attributes: Any) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in attributes}
