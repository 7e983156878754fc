"""DescribeRun, ListDefinitions, FindRuns, FindHook and GetRuntimeInfo."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from pydantic_core import core_schema

from holdfast import step
from holdfast.v1 import entity_pb2, event_pb2, payload_pb2
from holdfast.v1.payload_pb2 import Payload
from holdfast.v1.runtime_service_pb2 import (
    DEFINITION_KIND_STEP,
    DEFINITION_KIND_WORKFLOW,
    DescribeRunRequest,
    DescribeRunResponse,
    FindHookRequest,
    FindRunsRequest,
    GetRuntimeInfoRequest,
    ListDefinitionsRequest,
    StartRunRequest,
    WatchRunRequest,
)
from runtime_service.api.definitions import list_definitions
from runtime_service.api.describing import blocked_failure
from runtime_service.server import RunningRuntime
from tests.support.refusals import fields, refused
from tests.support.runtime import new_registry
from tests.support.store import eventually


async def described(stub: Any, run_id: str) -> DescribeRunResponse:
    answer: DescribeRunResponse = await stub.DescribeRun(DescribeRunRequest(run_id=run_id))
    return answer


async def start(stub: Any, workflow: str, text: str | None = None, **fields: Any) -> str:
    request = StartRunRequest(workflow_name=workflow, input=Payload(text=text) if text else None, **fields)
    return str((await stub.StartRun(request)).run.run_id)


async def seen(stub: Any, run_id: str, kind: int) -> None:
    call = stub.WatchRun(WatchRunRequest(run_id=run_id, types=[kind]))
    async with asyncio.timeout(10):
        async for message in call:
            if message.HasField("event"):
                break
    call.cancel()


async def test_a_run_is_described_with_what_it_waits_for(stub: Any) -> None:
    run_id = await start(stub, "approval", '"order:1"')
    await seen(stub, run_id, event_pb2.EVENT_TYPE_HOOK_CREATED)
    answer = await described(stub, run_id)
    assert answer.run.status == entity_pb2.RUN_STATUS_RUNNING
    assert [hook.token for hook in answer.open_hooks] == ["order:1"]
    assert not answer.open_steps and not answer.open_waits and not answer.truncated
    assert not answer.HasField("last_replay_failure")


async def test_a_list_that_was_cut_is_told(stub: Any) -> None:
    run_id = await start(stub, "sleeper", "101")
    await seen(stub, run_id, event_pb2.EVENT_TYPE_WAIT_CREATED)
    answer = await described(stub, run_id)
    assert len(answer.open_waits) == 100
    assert answer.truncated


async def test_a_blocked_run_tells_why_and_is_not_failed(stub: Any) -> None:
    run_id = await start(stub, "reaching")

    async def blocked() -> DescribeRunResponse | None:
        answer = await described(stub, run_id)
        return answer if answer.HasField("last_replay_failure") else None

    answer = await eventually(blocked)
    assert answer.last_replay_failure.type == "NotDeterministic"
    assert answer.last_replay_failure.category == payload_pb2.FAILURE_CATEGORY_NONDETERMINISM
    assert answer.run.status != entity_pb2.RUN_STATUS_FAILED


def test_a_parked_reason_is_read_as_a_failure() -> None:
    failure = blocked_failure("blocked: ReplayDivergence: event 4: the log expects a: b")
    assert (failure.type, failure.message) == ("ReplayDivergence", "event 4: the log expects a: b")
    assert failure.category == payload_pb2.FAILURE_CATEGORY_NONDETERMINISM
    plain = blocked_failure("blocked: no idea")
    assert (plain.type, plain.message) == ("", "no idea")
    assert plain.category == payload_pb2.FAILURE_CATEGORY_INTERNAL


async def test_a_run_that_does_not_exist_is_not_found(stub: Any) -> None:
    assert (await refused(stub.DescribeRun(DescribeRunRequest(run_id="run_none")))).info.reason == "RUN_NOT_FOUND"
    assert fields(await refused(stub.DescribeRun(DescribeRunRequest(run_id="")))) == ("run_id",)


async def test_definitions_are_listed_with_their_schemas(stub: Any) -> None:
    listed = (await stub.ListDefinitions(ListDefinitionsRequest())).definitions
    names = [(item.kind, item.name) for item in listed]
    assert names == sorted(names)
    checkout = next(item for item in listed if item.name == "checkout")
    assert (checkout.kind, checkout.version, checkout.summary) == (DEFINITION_KIND_WORKFLOW, "3", "Sell something.")
    assert json.loads(checkout.input_schema)["properties"]["cents"]["type"] == "integer"
    assert json.loads(checkout.output_schema) == {"type": "string"}
    charge = next(item for item in listed if item.kind == DEFINITION_KIND_STEP)
    assert charge.summary == "Charge the customer."
    several = next(item for item in listed if item.name == "sum")
    assert json.loads(several.input_schema)["required"] == ["left"]


def test_a_schema_is_made_at_the_first_question_only() -> None:
    made: list[str] = []

    class Counted:
        @classmethod
        def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
            return core_schema.str_schema()

        @classmethod
        def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> Any:
            made.append("schema")
            return handler(schema)

    @step(name="describing.counted")
    async def counted(value: Counted) -> None: ...

    registry = new_registry(counted)
    first = list_definitions(registry)
    assert (list_definitions(registry), made) == (first, ["schema"])


async def test_runs_are_found_page_by_page(stub: Any) -> None:
    ids = [await start(stub, "echo", attributes={"customer": str(number % 2)}) for number in range(5)]
    request = FindRunsRequest(page_size=2, attributes={"customer": "0"})
    first = await stub.FindRuns(request)
    request.page_token = first.next_page_token
    second = await stub.FindRuns(request)
    assert [run.run_id for run in (*first.runs, *second.runs)] == [ids[4], ids[2], ids[0]]
    assert not second.next_page_token


async def test_a_malformed_search_is_refused(stub: Any) -> None:
    assert fields(await refused(stub.FindRuns(FindRunsRequest(page_size=-1)))) == ("page_size",)
    assert fields(await refused(stub.FindRuns(FindRunsRequest(statuses=[99])))) == ("statuses[0]",)  # type: ignore[list-item]
    assert (await refused(stub.FindRuns(FindRunsRequest(page_token="made up")))).info.reason == "INVALID_CURSOR"


async def test_an_open_hook_is_found_by_its_token(stub: Any) -> None:
    run_id = await start(stub, "approval", '"order:1"')
    await seen(stub, run_id, event_pb2.EVENT_TYPE_HOOK_CREATED)
    assert (await stub.FindHook(FindHookRequest(token="order:1"))).hook.run_id == run_id
    assert (await refused(stub.FindHook(FindHookRequest(token="order:2")))).info.reason == "ENTITY_NOT_FOUND"
    assert fields(await refused(stub.FindHook(FindHookRequest()))) == ("token",)


async def test_a_runtime_describes_itself(stub: Any, runtime: RunningRuntime) -> None:
    info = await stub.GetRuntimeInfo(GetRuntimeInfoRequest())
    assert info.runtime_id == runtime.front.runtime_id
    assert info.store_id and info.server_version
    assert not info.draining
    assert info.active_steps == 0
