"""Spans, measurements and log lines that a workflow body makes itself come out once, whole, at the workflow's time."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import prometheus_client
import pytest
import structlog
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from holdfast import sleep, step, workflow
from holdfast.testing import Environment
from runtime_service.replay import silence
from tests.tracing.test_spans import by_name, is_below

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
REGISTRY = prometheus_client.CollectorRegistry()
ORDERS = prometheus_client.Counter("telling_orders", "Orders.", ("stage",), registry=REGISTRY)
SIZES = prometheus_client.Histogram("telling_sizes", "Sizes.", registry=REGISTRY)
LINES: list[str] = []


@step(name="telling.work")
async def work(n: int) -> int:
    return n


@workflow(name="telling.body")
async def telling() -> None:
    meter = metrics.get_meter("user")
    tracer = trace.get_tracer("user")
    log = structlog.wrap_logger(Recorder(), processors=[lambda logger, method, event: event["event"]])
    with tracer.start_as_current_span("the whole"):
        for turn in range(25):
            log.info(f"turn {turn}")
            logging.getLogger("telling").warning("turn %s", turn)
            meter.create_counter("turns").add(1)
            meter.create_histogram("sizes").record(turn)
            ORDERS.labels("seen").inc()
            SIZES.observe(turn)
            with tracer.start_as_current_span(f"turn {turn}"):
                await work(turn)
            await sleep("1d")


class Recorder:
    """A logger as structlog wraps them."""

    def msg(self, event: str) -> None:
        LINES.append(event)

    info = msg


def counted(measured: InMemoryMetricReader, name: str) -> Any:
    found = measured.get_metrics_data()
    assert found is not None
    (point,) = [
        point
        for resource in found.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
    ]
    return point


@pytest.fixture(params=["always", "live"])
async def told(
    request: pytest.FixtureRequest, emitted: InMemorySpanExporter, measured: InMemoryMetricReader
) -> AsyncIterator[InMemorySpanExporter]:
    LINES.clear()
    async with Environment(replay=request.param, start_time=NEW_YEAR) as env:
        await env.run(telling)
    yield emitted


async def test_a_run_replayed_fifty_times_says_what_one_run_says(
    told: InMemorySpanExporter, measured: InMemoryMetricReader, caplog: pytest.LogCaptureFixture
) -> None:
    assert [f"turn {turn}" for turn in range(25)] == LINES
    assert [it.message for it in caplog.get_records("setup") if it.name == "telling"] == LINES
    by_user = [it.name for it in told.get_finished_spans() if it.instrumentation_scope.name == "user"]
    assert by_user == [*LINES, "the whole"]


async def test_measurements_are_counted_once(emitted: InMemorySpanExporter, measured: InMemoryMetricReader) -> None:
    def now() -> tuple[Any, ...]:
        seen = REGISTRY.get_sample_value
        return seen("telling_orders_total", {"stage": "seen"}) or 0, seen("telling_sizes_count") or 0

    before = now()
    async with Environment() as env:
        await env.run(telling)
    turns, sizes = counted(measured, "turns").value, counted(measured, "sizes").count
    async with Environment() as env:
        await env.run(telling)
    assert (counted(measured, "turns").value - turns, counted(measured, "sizes").count - sizes) == (25, 25)
    assert now() == (before[0] + 50, before[1] + 50)


async def test_a_span_that_is_open_over_many_replays_is_whole(told: InMemorySpanExporter) -> None:
    spans = by_name([it for it in told.get_finished_spans() if it.name != "step telling.work"])
    whole = spans["the whole"]
    assert is_below(whole, spans["workflow telling.body"])
    for turn in range(25):
        assert is_below(spans[f"turn {turn}"], whole)
        begun = (NEW_YEAR + timedelta(days=turn)).timestamp() * 1e9
        assert spans[f"turn {turn}"].start_time == begun
    assert (whole.start_time, whole.end_time) == (
        NEW_YEAR.timestamp() * 1e9,
        (NEW_YEAR + timedelta(days=25)).timestamp() * 1e9,
    )


def test_every_method_that_speaks_is_there() -> None:
    """A new version of a library must not open a hole unnoticed."""
    import importlib

    for module, paths in silence.SPEAKING.items():
        for path in paths:
            owner, method = path.split(".")
            assert method in vars(getattr(importlib.import_module(module), owner)), f"{module}.{path}"
