"""The spans of runs, steps and hooks, in OpenTelemetry's words; nothing when the process has no tracer provider.

Owns names, attributes, parents and times. Each span is made once, by whoever did what it tells of and after it was
durable, never by a replay: a run replayed fifty times emits what one run emits. A crash in between loses a span and
doubles none. The span of a run has an id that follows from the first event of its log, so that its steps name it as
their parent long before it ends, in whatever process. Messages of errors may be secret and are left out: types only.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from holdfast import tracing
from holdfast.context import RunInfo
from holdfast.installed import installed_version
from holdfast.tracing import Carrier
from holdfast.v1 import entity_pb2, event_pb2, payload_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.trace import Span, Tracer

#: Name of the instrumentation, under which a provider knows these spans.
SCOPE: Final = "holdfast"

_SAMPLED: Final = "01"

#: The id that the next span of ours gets instead of a random one, and the trace id if it is a root.
_chosen: Final[ContextVar[tuple[int, int] | None]] = ContextVar("holdfast_chosen_ids", default=None)

#: The tracer, and the provider that it came from.
_known: tuple[object, Tracer | None] = (None, None)


class AttemptSpan:
    """The span of one attempt of a step. ``carrier`` is to be made current for the body."""

    def __init__(self, span: Span | None) -> None:
        self._span = span
        self.carrier: Carrier = {} if span is None else _carrier_of(span)

    def end(self, outcome: event_pb2.Event | None) -> None:
        """End it with what became of the attempt; None when it was called off and nothing is recorded of it."""
        if self._span is None:
            return
        self._span.set_attribute("holdfast.outcome", _outcome_word(outcome))
        if outcome is not None and (failure := _failure_of(outcome)) is not None:
            _mark_failed(self._span, failure)
        self._span.end()


#: That of every attempt when nobody traces.
_NO_SPAN: Final = AttemptSpan(None)


def run_carrier(created: event_pb2.Event) -> Carrier:
    """Return the carrier of a run's span, from the first event of its log; empty when nobody traces here.

    A tracer that takes no ids from us cannot have a span known beforehand: then it is that of whoever started the run.
    """
    tracer = _tracer()
    if tracer is None:
        return tracing.NOBODY
    started_by = dict(created.trace_context)
    if not hasattr(tracer, "id_generator"):
        return started_by
    trace_id, flags = _trace_of(created)
    return {**started_by, "traceparent": f"00-{trace_id:032x}-{_span_id(created):016x}-{flags}"}


@contextmanager
def starting(workflow_name: str, caller: Carrier) -> Iterator[Carrier]:
    """Span the start of a run, in the caller's trace; yields the carrier for the run's first event."""
    tracer = _tracer()
    if tracer is None:
        yield caller
        return
    context = tracing.context_of(caller)
    with tracer.start_as_current_span(
        f"start {workflow_name}",
        context,
        kind=_kind("SERVER"),
        attributes={"holdfast.workflow": workflow_name},
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        # The baggage is the caller's; only the parent is new.
        yield {**caller, **_carrier_of(span)}


def attempt(parent: Carrier, run: RunInfo, step_id: str, step_name: str, number: int) -> AttemptSpan:
    """Begin the span of an attempt that runs now."""
    tracer = _tracer()
    if tracer is None:
        return _NO_SPAN
    attributes: dict[str, str | int] = {
        "holdfast.run_id": run.run_id,
        "holdfast.workflow": run.workflow_name,
        "holdfast.step_id": step_id,
        "holdfast.step": step_name,
        "holdfast.attempt": number,
    }
    return AttemptSpan(tracer.start_span(f"step {step_name}", tracing.context_of(parent), attributes=attributes))


def run_ended(created: event_pb2.Event, ended: event_pb2.Event) -> None:
    """Emit the span of a run, from its creation to its end. To be called by the holder that saw it end."""
    tracer = _tracer()
    if tracer is None:
        return
    _take_our_ids(tracer)
    trace_id, _ = _trace_of(created)
    attributes = {
        "holdfast.run_id": created.run_id,
        "holdfast.workflow": created.run_created.workflow_name,
        "holdfast.outcome": _outcome_word(ended),
    }
    token = _chosen.set((trace_id, _span_id(created)))
    try:
        span = tracer.start_span(
            f"workflow {created.run_created.workflow_name}",
            tracing.context_of(created.trace_context),
            attributes=attributes,
            start_time=created.create_time.ToNanoseconds(),
        )
    finally:
        _chosen.reset(token)
    if (failure := _failure_of(ended)) is not None:
        _mark_failed(span, failure)
    span.end(ended.create_time.ToNanoseconds())


def hook_received(created: event_pb2.Event, hook: entity_pb2.Hook, received: event_pb2.Event, sender: Carrier) -> None:
    """Emit the span of a hook from its opening to a value, in the run's trace and with a link to the sender's."""
    tracer = _tracer()
    if tracer is None:
        return
    from opentelemetry.trace import Link, get_current_span

    link = get_current_span(tracing.context_of(sender)).get_span_context()
    tracer.start_span(
        f"hook {hook.hook_id}",
        tracing.context_of(run_carrier(created)),
        attributes={"holdfast.run_id": hook.run_id, "holdfast.hook_id": hook.hook_id},
        links=[Link(link)] if link.is_valid else [],
        start_time=hook.create_time.ToNanoseconds(),
    ).end(received.create_time.ToNanoseconds())


def are_made() -> bool:
    """Whether this process has a tracer provider."""
    return _tracer() is not None


def _tracer() -> Tracer | None:
    """Return our tracer of the process's provider, None while there is none."""
    global _known
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return None
    provider = api.get_tracer_provider()
    if provider is not _known[0]:
        is_stand_in = isinstance(provider, (api.ProxyTracerProvider, api.NoOpTracerProvider))
        _known = (provider, None if is_stand_in else provider.get_tracer(SCOPE, installed_version()))
    return _known[1]


class _OurIds:
    """An id generator that gives the id we chose, and else what the provider's own gives."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def generate_span_id(self) -> int:
        chosen = _chosen.get()
        return int(self._inner.generate_span_id() if chosen is None else chosen[1])

    def generate_trace_id(self) -> int:
        chosen = _chosen.get()
        return int(self._inner.generate_trace_id() if chosen is None else chosen[0])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _take_our_ids(tracer: Any) -> None:
    """Let our own tracer take ids from us: the API has no way to name one, the SDK's tracer has a public attribute."""
    if hasattr(tracer, "id_generator") and not isinstance(tracer.id_generator, _OurIds):
        tracer.id_generator = _OurIds(tracer.id_generator)


def _trace_of(created: event_pb2.Event) -> tuple[int, str]:
    """Return the trace id and the flags of a run: those of who started it, else ones that follow from its log."""
    parts = created.trace_context.get("traceparent", "").split("-")
    if len(parts) >= 4 and len(parts[1]) == 32:
        try:
            return int(parts[1], 16), parts[3]
        except ValueError:
            pass
    return _number(created, "trace", 16), _SAMPLED


def _span_id(created: event_pb2.Event) -> int:
    return _number(created, "span", 8)


def _number(created: event_pb2.Event, what: str, size: int) -> int:
    """Derive an id, never 0, that is the same in every process that has the log."""
    digest = hashlib.sha256(f"{what}:{created.run_id}:{created.event_id}".encode()).digest()
    return int.from_bytes(digest[:size], "big") or 1


def _carrier_of(span: Span) -> dict[str, str]:
    from opentelemetry.trace import set_span_in_context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier, set_span_in_context(span))
    return carrier


def _kind(name: str) -> Any:
    from opentelemetry.trace import SpanKind

    return SpanKind[name]


def _mark_failed(span: Span, failure: payload_pb2.Failure) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_attribute("error.type", failure.type)
    span.set_status(Status(StatusCode.ERROR, failure.type))


#: Event kind → the failure in it.
_FAILURES: Final[Mapping[str, Callable[[event_pb2.Event], payload_pb2.Failure]]] = {
    "run_failed": lambda event: event.run_failed.failure,
    "step_failed": lambda event: event.step_failed.failure,
    "step_retrying": lambda event: event.step_retrying.failure,
}


def _failure_of(event: event_pb2.Event) -> payload_pb2.Failure | None:
    read = _FAILURES.get(event.WhichOneof("attributes") or "")
    return None if read is None else read(event)


def _outcome_word(event: event_pb2.Event | None) -> str:
    """Return "completed", "failed", "retrying", "cancelled", or "called off" for no record."""
    arm = "" if event is None else event.WhichOneof("attributes") or ""
    return arm.partition("_")[2] or "called off"
