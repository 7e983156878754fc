"""Every RPC with made-up requests and with bytes that are none: the right status, no bug, nothing half done.

The requests come from hypothesis, by the descriptors of the contract, so a new method or field is covered at once.
`make fuzz` goes on from here with coverage to guide it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from holdfast import step, workflow
from holdfast.v1 import event_pb2, store_service_pb2
from holdfast.v1 import queue_service_pb2 as queue_api
from runtime_service.server import SERVICES as RUNTIME_SERVICES
from store_service.server import SERVICES as STORE_SERVICES
from tests.support.any_rpc import call_raw, methods_of, path_of, reason_of
from tests.support.messages import Messages
from tests.support.runtime import running_runtime
from tests.support.store import Store, create_run, fingerprint, hook_created, running_store

#: Seconds that a call may take; one that waits for something by design is given up then.
SECONDS = 0.25

NAMES = ("run-1", "run-2", "step_a#1", "hook_#1", "token-1", "mail", "progress", "fuzzed.workflow", "fuzzed.step")

FAST = settings(
    max_examples=120,
    deadline=None,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
SLOW = settings(FAST, max_examples=1_500)


@step(name="fuzzed.step")
async def fuzzed_step(text: str) -> str:
    return text


@workflow(name="fuzzed.workflow")
async def fuzzed_workflow(text: str = "") -> str:
    return await fuzzed_step(text)


class Bench:
    """A store and a runtime of its own in one event loop that turns while a call is made."""

    def __init__(self, folder: Path) -> None:
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self.store: Store
        self._runner.run(self._open(folder))

    async def _open(self, folder: Path) -> None:
        enter = self._stack.enter_async_context
        self.store = await enter(running_store(folder / "s.db", drain_seconds=0.2))
        # A store of its own, so that nothing but the calls of the test moves the other one.
        busy = await enter(running_store(folder / "busy.db", drain_seconds=0.2))
        runtime = await enter(running_runtime(busy.address, fuzzed_workflow, fuzzed_step))
        self._store_channel = await enter(grpc.aio.insecure_channel(self.store.address))
        self._runtime_channel = await enter(grpc.aio.insecure_channel(runtime.address))
        for run_id in ("run-1", "run-2"):
            await create_run(self.store.client, run_id)
        await self.store.client.events.CreateEvent(
            _append("run-1", hook_created(token="token-1", conflict_policy=event_pb2.HOOK_CONFLICT_POLICY_FAIL))
        )
        message = queue_api.NewQueueMessage(queue="mail")
        await self.store.client.queue.Enqueue(queue_api.EnqueueRequest(message=message))

    def call(self, method: MethodDescriptor, body: bytes) -> tuple[str, bool]:
        """Make a call; returns the reason it was refused for, and whether the store's contents are as before."""
        return self._runner.run(self._call(method, body))

    async def _call(self, method: MethodDescriptor, body: bytes) -> tuple[str, bool]:
        is_stores = method.containing_service in STORE_SERVICES
        channel = self._store_channel if is_stores else self._runtime_channel
        before = await fingerprint(self.store.engine)
        error = await call_raw(channel, method, body, seconds=SECONDS)
        if error is not None and error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
            return "", True
        return reason_of(error), not is_stores or await fingerprint(self.store.engine) == before

    def close(self) -> None:
        self._runner.run(self._stack.aclose())
        self._runner.close()


def _append(run_id: str, event: event_pb2.Event) -> Any:

    return store_service_pb2.CreateEventRequest(run_id=run_id, event=event)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    opened = Bench(tmp_path_factory.mktemp("fuzzing"))
    yield opened
    opened.close()


def calls_of(services: Sequence[ServiceDescriptor]) -> st.SearchStrategy[tuple[MethodDescriptor, bytes]]:
    """Calls with plausible messages, with such messages damaged, and with noise."""
    messages = Messages(NAMES)

    def with_body(method: MethodDescriptor) -> st.SearchStrategy[tuple[MethodDescriptor, bytes]]:
        body = messages.of(method.input_type).map(lambda it: it.SerializeToString())
        damaged = st.tuples(body, st.integers(0, 200), st.binary(max_size=4)).map(
            lambda it: it[0][: it[1]] + it[2] + it[0][it[1] :]
        )
        return st.tuples(st.just(method), st.one_of(body, body, body, damaged, st.binary(max_size=50)))

    return st.sampled_from(list(methods_of(services))).flatmap(with_body)


def check(bench: Bench, method: MethodDescriptor, body: bytes) -> None:
    reason, is_as_before = bench.call(method, body)
    assert reason not in ("INTERNAL", "CORRUPT_LOG"), f"{path_of(method)} has a bug: see the log"
    assert is_as_before or not reason, f"{path_of(method)} was refused with {reason} and wrote all the same"


@FAST
@given(call=calls_of(STORE_SERVICES))
def test_made_up_requests_to_the_store_are_answered_or_refused_and_a_refusal_writes_nothing(
    bench: Bench, call: tuple[MethodDescriptor, bytes]
) -> None:
    check(bench, *call)


@FAST
@given(call=calls_of(RUNTIME_SERVICES))
def test_made_up_requests_to_the_runtime_are_answered_or_refused(
    bench: Bench, call: tuple[MethodDescriptor, bytes]
) -> None:
    check(bench, *call)


@pytest.mark.slow
@SLOW
@given(call=calls_of((*STORE_SERVICES, *RUNTIME_SERVICES)))
def test_many_made_up_requests(bench: Bench, call: tuple[MethodDescriptor, bytes]) -> None:
    check(bench, *call)
