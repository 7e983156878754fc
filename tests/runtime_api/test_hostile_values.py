"""Values that are hard to look at: malformed durations, numbers that JSON does not have, deep nesting, great size."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Value
from pydantic import BaseModel

from holdfast import hook, workflow
from holdfast.v1.payload_pb2 import Payload
from holdfast.v1.runtime_service_pb2 import (
    AwaitRunRequest,
    FindHookRequest,
    GetRuntimeInfoRequest,
    ResumeHookRequest,
    StartRunRequest,
    WatchRunRequest,
)
from tests.support.refusals import fields, refused
from tests.support.runtime import running_runtime, runtime_stub
from tests.support.store import take_apart


class Tree(BaseModel):
    children: list[Tree] = []


@workflow(name="hostile-takes_a_tree")
async def takes_a_tree() -> int:
    async with hook(Tree, token="tree") as trees:
        return len((await trees).children)


@workflow(name="hostile-takes_numbers")
async def takes_numbers(first: Any = None) -> int:
    async with hook(list[int], token="numbers") as numbers:
        return len(await numbers)


@pytest.fixture
async def hostile_stub(store_address: str) -> Any:
    async with (
        running_runtime(store_address, takes_a_tree, takes_numbers) as runtime,
        runtime_stub(runtime.address) as stub,
    ):
        yield stub


async def opened(stub: Any, workflow_name: str, token: str) -> None:
    await stub.StartRun(StartRunRequest(workflow_name=workflow_name))
    async with asyncio.timeout(10):
        while True:
            try:
                return await stub.FindHook(FindHookRequest(token=token))
            except grpc.RpcError as error:
                assert take_apart(error).info.reason == "ENTITY_NOT_FOUND"
                await asyncio.sleep(0.01)


#: What a client can send and no google.protobuf.Duration may hold.
MALFORMED = [
    Duration(seconds=2**63 - 1),
    Duration(seconds=-(2**63)),
    Duration(seconds=315_576_000_001),
    Duration(seconds=1, nanos=-1),
    Duration(seconds=-1, nanos=10**9),
    Duration(nanos=10**9),
]


@pytest.mark.parametrize("duration", MALFORMED, ids=str)
async def test_a_malformed_duration_is_refused_by_name(hostile_stub: Any, duration: Duration) -> None:
    refusal = await refused(hostile_stub.AwaitRun(AwaitRunRequest(run_id="r", timeout=duration)))
    assert fields(refusal) == ("timeout",)
    with pytest.raises(grpc.RpcError) as caught:
        async for _ in hostile_stub.WatchRun(WatchRunRequest(run_id="r", progress_interval=duration)):
            pass
    assert fields(take_apart(caught.value)) == ("progress_interval",)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
async def test_a_number_that_json_does_not_have_is_refused(hostile_stub: Any, number: float) -> None:
    payload = Payload(value=Value(number_value=number))
    started = await refused(
        hostile_stub.StartRun(StartRunRequest(workflow_name="hostile-takes_numbers", input=payload))
    )
    assert fields(started) == ("input",)
    resumed = await refused(hostile_stub.ResumeHook(ResumeHookRequest(token="numbers", payload=payload)))
    assert fields(resumed) == ("payload",)


async def test_a_value_too_deep_for_the_schema_is_refused_to_its_sender(hostile_stub: Any) -> None:
    await opened(hostile_stub, "hostile-takes_a_tree", "tree")
    deep = Payload(text='{"children":[' * 300 + "]}" * 300)
    refusal = await refused(hostile_stub.ResumeHook(ResumeHookRequest(token="tree", payload=deep)))
    assert fields(refusal) == ("payload",)


@pytest.mark.parametrize("depth", [200, 900, 100_000])
async def test_a_deep_input_is_taken_or_refused(hostile_stub: Any, depth: int) -> None:
    request = StartRunRequest(workflow_name="hostile-takes_numbers", input=Payload(text="[" * depth + "]" * depth))
    try:
        await hostile_stub.StartRun(request)
    except grpc.RpcError as error:
        assert fields(take_apart(error)) == ("input",)


async def test_a_large_value_does_not_stop_the_runtime_while_it_is_checked(hostile_stub: Any) -> None:
    await opened(hostile_stub, "hostile-takes_numbers", "numbers")
    large = Payload(text=json.dumps([1] * 200_000, separators=(",", ":")))
    check = asyncio.ensure_future(hostile_stub.ResumeHook(ResumeHookRequest(token="numbers", payload=large)))
    longest, begun = 0.0, time.perf_counter()
    while not check.done():
        asked = time.perf_counter()
        await hostile_stub.GetRuntimeInfo(GetRuntimeInfoRequest())
        longest = max(longest, time.perf_counter() - asked)
    assert (await check).event.seq
    assert longest < (time.perf_counter() - begun) / 2
