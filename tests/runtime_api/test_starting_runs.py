"""StartRun: what is refused leaves no trace, and a retry finds what the first try did."""

from __future__ import annotations

import re
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from holdfast.limits import PAYLOAD_BYTES_MAX
from holdfast.v1 import entity_pb2, error_pb2, event_pb2
from holdfast.v1.payload_pb2 import Payload
from holdfast.v1.runtime_service_pb2 import (
    RUN_CONFLICT_POLICY_USE_EXISTING,
    AwaitRunRequest,
    FindRunsRequest,
    StartRunRequest,
    WatchRunRequest,
)
from tests.support.refusals import fields, refused

ORDER = Payload(text='{"id":"o1"}')


def start(workflow: str = "checkout", **fields: Any) -> StartRunRequest:
    return StartRunRequest(workflow_name=workflow, **{"input": ORDER, **fields})


async def result(stub: Any, run_id: str) -> entity_pb2.Run:
    answer = await stub.AwaitRun(AwaitRunRequest(run_id=run_id))
    assert answer.done
    return answer.run


async def count_runs(stub: Any) -> int:
    return len((await stub.FindRuns(FindRunsRequest())).runs)


async def first_event(stub: Any, run_id: str) -> event_pb2.Event:
    call = stub.WatchRun(WatchRunRequest(run_id=run_id))
    async for message in call:
        call.cancel()
        return message.event
    raise AssertionError("no event")


async def test_a_run_starts_and_its_result_can_be_awaited(stub: Any) -> None:
    answer = await stub.StartRun(start())
    assert answer.created
    assert answer.run.run_id.startswith("run_")
    run = await result(stub, answer.run.run_id)
    assert run.status == entity_pb2.RUN_STATUS_COMPLETED
    assert run.output.text == '"charged o1"'


@pytest.mark.parametrize(
    ("workflow", "given", "output"),
    [
        ("echo", Payload(text='{"a":[1]}'), '{"a":[1]}'),
        ("echo", Payload(), "null"),
        ("sum", Payload(text="[1,5]"), "6"),
        ("sum", Payload(text='{"left":1}'), "3"),
    ],
)
async def test_an_input_is_the_value_itself_or_the_arguments(
    stub: Any, workflow: str, given: Payload, output: str
) -> None:
    answer = await stub.StartRun(start(workflow, input=given))
    assert (await result(stub, answer.run.run_id)).output.text == output


async def test_a_value_for_people_is_taken_as_json(stub: Any) -> None:
    given = Payload()
    given.value.struct_value["id"] = "ö1"
    answer = await stub.StartRun(start(input=given))
    assert (await result(stub, answer.run.run_id)).output.text == '"charged ö1"'


async def test_what_the_request_says_comes_before_what_the_workflow_declares(stub: Any) -> None:
    declared = await stub.StartRun(start())
    asked = await stub.StartRun(start(version="9", timeout=Duration(seconds=60), attributes={"customer": "42"}))
    first = (await first_event(stub, declared.run.run_id)).run_created
    second = (await first_event(stub, asked.run.run_id)).run_created
    assert (first.version, first.timeout.seconds) == ("3", 7 * 86_400)
    assert (second.version, second.timeout.seconds, dict(second.attributes)) == ("9", 60, {"customer": "42"})
    assert re.fullmatch(r"runs\.checkout\.3\.[0-9a-f]{16}", first.wake_queue)
    assert re.fullmatch(r"runs\.checkout\.9\.[0-9a-f]{16}", second.wake_queue)


async def test_an_unknown_workflow_is_refused_with_the_names_that_come_near(stub: Any) -> None:
    refusal = await refused(stub.StartRun(start("chekout")))
    assert (refusal.code.name, refusal.info.reason) == ("NOT_FOUND", "NOT_REGISTERED")
    assert "checkout" in refusal.message
    assert refusal.info.metadata["workflow_name"] == "chekout"
    assert await count_runs(stub) == 0


BAD = {
    "workflow_name": start(""),
    "run_id": start(run_id="no spaces"),
    "request_id": start(request_id="x" * 129),
    "conflict_policy": StartRunRequest(workflow_name="checkout", input=ORDER, conflict_policy=9),  # type: ignore[arg-type]
    "timeout": start(timeout=Duration(seconds=-1)),
    "version": start(version="v" * 129),
    "attributes": start(attributes={str(number): "x" for number in range(65)}),
    "attributes['']": start(attributes={"": "x"}),
    "attributes['key']": start(attributes={"key": "x" * 257}),
    "input": start(input=Payload(text='{"id":7,"cents":"many"}')),
}


@pytest.mark.parametrize("field", BAD)
async def test_a_malformed_field_is_named_and_nothing_is_written(stub: Any, field: str) -> None:
    refusal = await refused(stub.StartRun(BAD[field]))
    assert fields(refusal) == (field,)
    assert await count_runs(stub) == 0


@pytest.mark.parametrize("text", ["", "{", "[1,]", "NaN", '{"id":Infinity}'])
async def test_an_input_that_is_not_json_is_refused(stub: Any, text: str) -> None:
    refusal = await refused(stub.StartRun(start("echo", input=Payload(text=text))))
    assert fields(refusal) == ("input",)
    assert await count_runs(stub) == 0


async def test_too_many_or_missing_arguments_are_refused(stub: Any) -> None:
    for given in (Payload(text="[1,2,3]"), Payload(text='{"right":1}'), Payload(text='{"left":1,"middle":2}')):
        assert fields(await refused(stub.StartRun(start("sum", input=given)))) == ("input",)
    assert await count_runs(stub) == 0


async def test_an_oversized_input_is_refused_with_the_limit(stub: Any) -> None:
    refusal = await refused(stub.StartRun(start("echo", input=Payload(text='"' + "x" * PAYLOAD_BYTES_MAX + '"'))))
    assert (refusal.code.name, refusal.info.reason) == ("INVALID_ARGUMENT", "TOO_LARGE")
    assert refusal.info.metadata["max"] == str(PAYLOAD_BYTES_MAX)
    assert await count_runs(stub) == 0


async def test_a_retry_with_the_same_request_id_finds_the_run_of_the_first_try(stub: Any) -> None:
    first = await stub.StartRun(start(request_id="r1"))
    second = await stub.StartRun(start(request_id="r1"))
    assert first.run.run_id == second.run.run_id
    assert first.created and second.created
    assert await count_runs(stub) == 1


async def test_a_request_id_used_for_another_start_is_refused(stub: Any) -> None:
    await stub.StartRun(start(request_id="r1"))
    refusal = await refused(stub.StartRun(start(request_id="r1", input=Payload(text='{"id":"o2"}'))))
    assert (refusal.code.name, refusal.info.reason) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    assert await count_runs(stub) == 1


async def test_a_taken_run_id_is_refused_unless_the_caller_wants_the_existing_run(stub: Any) -> None:
    await stub.StartRun(start(run_id="order-1"))
    refusal = await refused(stub.StartRun(start(run_id="order-1")))
    assert (refusal.code.name, refusal.info.reason) == ("ALREADY_EXISTS", "RUN_EXISTS")
    assert refusal.detail(error_pb2.EntityExists).run_id == "order-1"
    existing = await stub.StartRun(start(run_id="order-1", conflict_policy=RUN_CONFLICT_POLICY_USE_EXISTING))
    assert not existing.created
    assert existing.run.run_id == "order-1"


async def test_a_run_is_not_executed_before_its_start_time(stub: Any, runtime: Any) -> None:
    request = start("echo")
    request.start_time.FromMilliseconds(runtime.worker.clock() + 700)
    answer = await stub.StartRun(request)
    run = await result(stub, answer.run.run_id)
    assert run.start_time.ToMilliseconds() >= request.start_time.ToMilliseconds()
