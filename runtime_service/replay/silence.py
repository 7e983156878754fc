"""What a workflow body tells the world about itself comes out once, however often the body is replayed (hazard 33).

Owns the table of what speaks: log lines, spans that end, measurements. In a turn that repeats what was seen before each
of them does nothing; in any other turn it does what it does, outside of the guard, for exporters may do anything.
Spans that a body opens begin and end at the workflow's time and have ids that are the same in every replay, so that
one which began long before it ended, in another process, is whole. Libraries are taken care of once the program has
imported them, none is imported here. Nothing changes outside of workflow bodies. Proof:
tests/replay/test_replay_silence.py, tests/tracing/test_telemetry_of_bodies.py.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from holdfast.context import WORKFLOW
from runtime_service.replay import guard
from runtime_service.replay.context import ReplayContext

#: Module → methods that speak.
SPEAKING: Final[Mapping[str, tuple[str, ...]]] = {
    "logging": ("Logger.handle",),
    "structlog._base": ("BoundLoggerBase._proxy_to_logger",),
    "opentelemetry.sdk.trace": ("Span.end",),
    "opentelemetry.sdk._logs._internal": ("Logger.emit",),
    "opentelemetry.sdk.metrics._internal.instrument": (
        *("Counter.add", "UpDownCounter.add", "Histogram.record", "Gauge.set"),
    ),
    "prometheus_client.metrics": (
        *("Counter.inc", "Gauge.inc", "Gauge.dec", "Gauge.set", "Summary.observe", "Histogram.observe"),
        *("Info.info", "Enum.state"),
    ),
}

Method = Callable[..., Any]


def _once(original: Method) -> Method:
    """Let a method do nothing when a replay repeats the call."""

    @functools.wraps(original)
    def speak(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not guard.is_in_turn():
            return original(self, *args, **kwargs)
        if guard.is_repeating():
            return None
        with guard.lifted():
            return original(self, *args, **kwargs)

    return speak


def _ending(original: Method) -> Method:
    """Let a span of a body end at the workflow's time, unless it says another."""

    @functools.wraps(original)
    def end(self: Any, end_time: int | None = None) -> None:
        original(self, _time_ns() if end_time is None else end_time)

    return end


def _starting(original: Method) -> Method:
    """Let a span of a body begin at the workflow's time, unless it says another."""

    @functools.wraps(original)
    def start(self: Any, start_time: int | None = None, parent_context: Any = None) -> None:
        original(self, _time_ns() if start_time is None else start_time, parent_context)

    return start


def _numbering(bits: int) -> Callable[[Method], Method]:
    """Let spans of a body have ids that follow from the log."""

    def change(original: Method) -> Method:
        @functools.wraps(original)
        def number(self: Any) -> Any:
            body = _body()
            return original(self) if body is None else body.span_number(bits)

        return number

    return change


#: Module → method → how it is changed, beside those that speak.
_CHANGED: Final[Mapping[str, Mapping[str, Callable[[Method], Method]]]] = {
    "opentelemetry.sdk.trace": {"Span.end": _ending, "Span.start": _starting},
    "opentelemetry.sdk.trace.id_generator": {
        "RandomIdGenerator.generate_span_id": _numbering(64),
        "RandomIdGenerator.generate_trace_id": _numbering(128),
    },
}

#: Modules that are not taken care of yet.
_waiting: Final[set[str]] = {*SPEAKING, *_CHANGED}


def install() -> None:
    """Take care of what the program has imported by now. Cheap; to be called before each replay."""
    for name in [it for it in _waiting if it in sys.modules]:
        _waiting.discard(name)
        for path in SPEAKING.get(name, ()):
            _replace(name, path, _once)
        for path, change in _CHANGED.get(name, {}).items():
            _replace(name, path, change)


def _replace(module: str, path: str, change: Callable[[Method], Method]) -> None:
    """Put a changed method in place of one; a version of the library that lacks it is left alone."""
    class_name, method = path.split(".")
    owner = getattr(sys.modules[module], class_name, None)
    original = getattr(owner, "__dict__", {}).get(method)
    if original is not None:
        setattr(owner, method, change(original))


def _body() -> ReplayContext | None:
    """Return the workflow body that calls, None when none does."""
    context = WORKFLOW.get()
    return context if isinstance(context, ReplayContext) else None


def _time_ns() -> int | None:
    body = _body()
    return None if body is None else body.now_ms * 1_000_000
