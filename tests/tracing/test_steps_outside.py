"""A step in another process goes on in the trace of its run, attempt after attempt."""

from __future__ import annotations

import grpc.aio
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from holdfast import Client, RetryPolicy, remote_step, step, workflow
from runtime_service import spans
from runtime_service.tasks.messages import TaskAddress
from runtime_service.tasks.token import TaskToken, read_token
from tests.step_workers.worker import Worker
from tests.support.runtime import running_runtime
from tests.tracing.test_spans import by_name, is_below

AGAIN = RetryPolicy(max_attempts=3, initial_interval=0.01, backoff=1, jitter=0)

render = remote_step("traced.render", queue="node", input=str, output=str, retry=AGAIN)


@step(name="traced.on_gpu", queue="gpu")
async def on_gpu(frame: str) -> str:
    return frame


@workflow(name="traced.film")
async def film(frame: str) -> str:
    return await on_gpu(await render(frame))


async def test_a_step_outside_is_told_its_runs_span_in_every_attempt(
    emitted: InMemorySpanExporter, store_address: str
) -> None:
    async with (
        running_runtime(store_address, film, render, on_gpu, queue=["default", "gpu"]) as runtime,
        Client(runtime.address) as client,
        grpc.aio.insecure_channel(runtime.address) as channel,
    ):
        worker = Worker(channel)
        with trace.get_tracer("user").start_as_current_span("a request"):
            run = await client.start(film, "7")
        first = await worker.take("traced.render")
        await worker.fail(first, "Busy", "not now")
        second = await worker.take("traced.render")
        await worker.complete(second, "drawn")
        assert await run.result(timeout="10s") == "drawn"
    seen = by_name(emitted.get_finished_spans())
    of_run = seen["workflow traced.film"].context
    assert of_run is not None
    parent = f"00-{of_run.trace_id:032x}-{of_run.span_id:016x}-"
    assert [task.trace_context["traceparent"][:-2] for task in (first, second)] == [parent, parent]
    assert is_below(seen["step traced.on_gpu"], seen["workflow traced.film"])


async def test_a_runtime_that_traces_nothing_passes_the_callers_context_on(
    emitted: InMemorySpanExporter, store_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans, "_tracer", lambda: None)
    async with (
        running_runtime(store_address, film, render, on_gpu) as runtime,
        Client(runtime.address) as client,
        grpc.aio.insecure_channel(runtime.address) as channel,
    ):
        with trace.get_tracer("user").start_as_current_span("a request") as request:
            await client.start(film, "7")
        task = await Worker(channel).take("traced.render")
    assert f"{request.get_span_context().span_id:016x}" in task.trace_context["traceparent"]
    assert set(task.trace_context) <= {"traceparent", "tracestate"}, "baggage stays in the log"


def test_the_token_of_an_untraced_run_is_one_that_older_runtimes_read() -> None:
    plain = TaskToken("msg_1.r", "run_1", "step_it#1", "it", "film", "node", 1, 0, 5)
    traced = TaskToken("msg_1.r", "run_1", "step_it#1", "it", "film", "node", 1, 0, 5, "00-a-b-01", "vendor=1")
    assert [read_token(token.written()) for token in (plain, traced)] == [plain, traced]
    assert len(traced.written()) - len(plain.written()) >= len("00-a-b-01")
    assert traced.address == TaskAddress("run_1", "step_it#1", "it", "film", "node", "00-a-b-01", "vendor=1")
