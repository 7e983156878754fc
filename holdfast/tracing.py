"""W3C trace context, on its way from a client through a run to its steps: how it is read, carried and made current.

Owns the carrier: a mapping with ``traceparent`` and, where there are any, ``tracestate`` and ``baggage``; it travels as
metadata of calls and as ``trace_context`` of events. OpenTelemetry (``holdfast[otel]``) is looked for among the modules
that the program has imported: who configured it has imported it, and for everybody else nothing here does or costs
anything. Carriers are passed on without it too. The spans of the runtime are in ``runtime_service/spans.py``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

#: The headers of W3C Trace Context and Baggage.
KEYS: Final = ("traceparent", "tracestate", "baggage")

#: Characters of one header; a longer one is left out, as both recommendations allow.
VALUE_CHARS_MAX: Final = 2_048

Carrier = Mapping[str, str]

#: The carrier of a caller that traces nothing.
NOBODY: Final[Carrier] = MappingProxyType({})


def is_loaded() -> bool:
    """Whether the program uses OpenTelemetry."""
    return "opentelemetry.trace" in sys.modules


def current() -> dict[str, str]:
    """Return the carrier of the span that is current here; empty without one."""
    if not is_loaded():
        return {}
    carrier: dict[str, str] = {}
    for propagator in _propagators():
        propagator.inject(carrier)
    return carrier


def of_metadata(metadata: Iterable[tuple[str, str | bytes]] | Mapping[str, str] | None) -> dict[str, str]:
    """Return the carrier that came as metadata of a call or as headers of a request. Never raises."""
    pairs = metadata.items() if isinstance(metadata, Mapping) else metadata or ()
    return {
        key.lower(): value
        for key, value in pairs
        if key.lower() in KEYS and isinstance(value, str) and len(value) <= VALUE_CHARS_MAX
    }


def context_of(carrier: Carrier) -> Any:
    """Return the OpenTelemetry context of a carrier; to be called when it is loaded only."""
    from opentelemetry.context import Context

    context = Context()
    for propagator in _propagators():
        context = propagator.extract(dict(carrier), context)
    return context


def make_current(carrier: Carrier) -> None:
    """Make a carrier current for the rest of this ``contextvars.Context``; nothing without OpenTelemetry."""
    if carrier and is_loaded():
        from opentelemetry.context import attach

        attach(context_of(carrier))


def _propagators() -> tuple[Any, Any]:
    # Not the global propagator: the contract says W3C, whatever a program speaks elsewhere.
    from opentelemetry.baggage.propagation import W3CBaggagePropagator
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator(), W3CBaggagePropagator()
