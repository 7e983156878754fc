"""The spans of a run: one trace from the client to the last step, each span once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from holdfast import Client, RunFailed
from holdfast.testing import Environment
from tests.support.runtime import running_runtime
from tests.tracing import traced_workflows as traced

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def by_name(spans: Sequence[ReadableSpan]) -> dict[str, ReadableSpan]:
    assert len({span.name for span in spans}) == len(spans), [span.name for span in spans]
    return {span.name: span for span in spans}


def is_below(child: ReadableSpan, parent: ReadableSpan) -> bool:
    assert child.parent is not None and parent.context is not None and child.context is not None
    return (child.parent.span_id, child.context.trace_id) == (parent.context.span_id, parent.context.trace_id)


async def test_one_trace_leads_from_the_client_through_the_run_to_its_steps_and_what_they_call(
    emitted: InMemorySpanExporter, store_address: str
) -> None:
    functions = (traced.checkout, traced.charge, traced.print_label)
    async with running_runtime(store_address, *functions) as runtime, Client(runtime.address) as client:
        with trace.get_tracer("user").start_as_current_span("a request"):
            run = await client.start(traced.checkout, "7")
        while not await run.wake():
            pass
        async for event in run.events():
            if event.HasField("hook_created"):
                with trace.get_tracer("user").start_as_current_span("an approval"):
                    await client.resume("traced:7", "approved")
        assert await run.result() == "7 charged, approved"
        log = [event async for event in run.events()]
    spans = by_name(emitted.get_finished_spans())
    assert is_below(spans["start traced.checkout"], spans["a request"])
    assert is_below(spans["workflow traced.checkout"], spans["start traced.checkout"])
    for name, inner in (("step traced.charge", "ask the bank"), ("step traced.print", "warm the printer")):
        assert is_below(spans[name], spans["workflow traced.checkout"])
        assert is_below(spans[inner], spans[name])
    assert is_below(spans["hook hook_#1"], spans["workflow traced.checkout"])
    assert [link.context.span_id for link in spans["hook hook_#1"].links] == [spans["an approval"].context.span_id]
    assert f"{spans['a request'].context.trace_id:032x}" in log[0].trace_context["traceparent"]
    received = next(event for event in log if event.HasField("hook_received"))
    assert f"{spans['an approval'].context.span_id:016x}" in received.trace_context["traceparent"]


async def test_the_span_of_a_run_lasts_from_its_creation_to_its_end(emitted: InMemorySpanExporter) -> None:
    async with Environment(start_time=NEW_YEAR) as env:
        run = await env.client.start(traced.checkout, "8")
        await env.advance("31d")
        await env.client.resume("traced:8", "approved")
        await run.result()
    span = by_name(emitted.get_finished_spans())["workflow traced.checkout"]
    assert (span.start_time, span.end_time) == (
        NEW_YEAR.timestamp() * 1e9,
        (NEW_YEAR + timedelta(days=31)).timestamp() * 1e9,
    )
    assert dict(span.attributes or {}) == {
        "holdfast.run_id": run.id,
        "holdfast.workflow": "traced.checkout",
        "holdfast.outcome": "completed",
    }


async def test_a_run_replayed_at_every_turn_emits_what_a_live_one_emits(emitted: InMemorySpanExporter) -> None:
    async def run_once(env: Environment) -> list[str]:
        emitted.clear()
        async with env:
            run = await env.client.start(traced.checkout, "9")
            await env.advance("31d")
            await env.client.resume("traced:9", "approved")
            await run.result()
        return sorted(span.name for span in emitted.get_finished_spans())

    assert await run_once(Environment(replay="always")) == await run_once(Environment(replay="live"))


async def test_a_child_run_is_below_the_step_that_started_it(emitted: InMemorySpanExporter) -> None:
    async with Environment() as env:
        await env.run(traced.parent)
    spans = by_name(emitted.get_finished_spans())
    assert is_below(spans["step holdfast.start_run"], spans["workflow traced.parent"])
    assert is_below(spans["workflow traced.kid"], spans["step holdfast.start_run"])
    assert is_below(spans["step traced.charge"], spans["workflow traced.kid"])


async def test_a_failure_is_told_by_its_type_and_not_by_its_message(emitted: InMemorySpanExporter) -> None:
    async with Environment() as env:
        with pytest.raises(RunFailed):
            await env.run(traced.failing)
    spans = by_name(emitted.get_finished_spans())
    for name in ("step traced.flaky", "workflow traced.failing"):
        assert spans[name].status.status_code is StatusCode.ERROR
        assert "secret" not in spans[name].to_json()
    assert (spans["step traced.flaky"].attributes or {})["error.type"] == "holdfast.FatalError"


async def test_what_is_not_sampled_at_the_start_is_not_sampled_anywhere(emitted: InMemorySpanExporter) -> None:
    parent = trace.SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=trace.TraceFlags(0))
    async with Environment() as env:
        with trace.use_span(trace.NonRecordingSpan(parent)):
            run = await env.client.start(traced.kid, "10")
        assert await run.result() == "10 charged"
        assert env.history(run)[0].trace_context["traceparent"].startswith(f"00-{0xABC:032x}-")
    assert by_name(emitted.get_finished_spans()) == {}


async def test_an_attempt_that_is_retried_has_a_span_each(emitted: InMemorySpanExporter) -> None:
    calls: list[str] = []

    def bank(order_id: str) -> str:
        calls.append(order_id)
        if len(calls) == 1:
            raise ConnectionError("down")
        return "charged"

    async with Environment() as env:
        env.stub(traced.charge, calling=bank)
        await env.run(traced.kid, "11")
    attempts = [dict(it.attributes or {}) for it in emitted.get_finished_spans() if it.name == "step traced.charge"]
    assert [(it["holdfast.attempt"], it["holdfast.outcome"]) for it in attempts] == [(1, "retrying"), (2, "completed")]
