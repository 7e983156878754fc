"""Refusals over a real socket: what a server answers is what a client raises."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2

from holdfast import answers, errors
from holdfast.refusal import SPECS, FieldViolation, Refusal
from holdfast.v1 import error_pb2, event_pb2, runtime_service_pb2, runtime_service_pb2_grpc
from holdfast.wire import STATUS_BYTES_MAX, abort, from_rpc_error, to_status


class Refusing(runtime_service_pb2_grpc.RuntimeServiceServicer):
    """Refuses every DescribeRun with what the test put in."""

    refusal: Refusal

    async def DescribeRun(self, request: Any, context: Any) -> Any:
        await abort(context, self.refusal)


@pytest.fixture
async def wire() -> AsyncIterator[tuple[Refusing, str]]:
    server = grpc.aio.server()
    servicer = Refusing()
    runtime_service_pb2_grpc.add_RuntimeServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield servicer, f"127.0.0.1:{port}"
    await server.stop(0)


async def answered(wire: tuple[Refusing, str], refusal: Refusal) -> tuple[grpc.aio.AioRpcError, errors.HoldfastError]:
    wire[0].refusal = refusal
    async with grpc.aio.insecure_channel(wire[1]) as channel:
        stub: Any = runtime_service_pb2_grpc.RuntimeServiceStub(channel)  # type: ignore[no-untyped-call]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.DescribeRun(runtime_service_pb2.DescribeRunRequest(run_id="x"))
        return caught.value, from_rpc_error(caught.value)


def test_the_table_of_exceptions_is_complete() -> None:
    assert answers.BUILDERS.keys() == SPECS.keys()


@pytest.mark.parametrize("reason", SPECS)
async def test_every_reason_arrives_with_its_code_message_and_metadata(wire: Any, reason: str) -> None:
    refusal = Refusal(reason, "run run_1 said no", metadata={"run_id": "run_1", "seq": 7}, retry_after_ms=1_500)
    raw, typed = await answered(wire, refusal)
    assert raw.code().name == SPECS[reason].code
    assert raw.details() == "run run_1 said no"
    assert (typed.reason, dict(typed.metadata)) == (reason, {"run_id": "run_1", "seq": "7"})
    assert typed.retry_after_ms == 1_500
    assert type(typed) is not errors.HoldfastError


DETAILS: dict[str, tuple[Message, dict[str, Any]]] = {
    "ILLEGAL_TRANSITION": (
        error_pb2.IllegalTransition(
            run_id="r", correlation_id="s", current_status="STEP_STATUS_COMPLETED", event_index=2
        ),
        {"run_id": "r", "correlation_id": "s", "current_status": "STEP_STATUS_COMPLETED", "event_index": 2},
    ),
    "ENTITY_EXISTS": (error_pb2.EntityExists(run_id="r", same_content=True), {"run_id": "r", "same_content": True}),
    "RUN_EXISTS": (error_pb2.EntityExists(run_id="r", same_content=True), {"run_id": "r", "same_content": True}),
    "HOOK_TOKEN_CONFLICT": (
        error_pb2.HookTokenConflict(token="t", holder_run_id="r"),
        {"token": "t", "run_id": "r"},
    ),
    "LEASE_LOST": (
        error_pb2.LeaseLost(message_id="m", taken_over=True, expire_time={"seconds": 7}),
        {"message_id": "m", "taken_over": True, "expire_time_ms": 7_000},
    ),
    "TOO_LARGE": (
        error_pb2.LimitExceeded(limit="payload_bytes", max=5, actual=6),
        {"limit": "payload_bytes", "max": 5, "actual": 6},
    ),
    "CURSOR_EXPIRED": (
        error_pb2.CursorExpired(oldest_cursor="c", oldest_position=4),
        {"oldest_cursor": "c", "oldest_position": 4},
    ),
}


@pytest.mark.parametrize("reason", DETAILS)
async def test_typed_details_become_fields(wire: Any, reason: str) -> None:
    detail, fields = DETAILS[reason]
    _, typed = await answered(wire, Refusal(reason, "no", detail=detail))
    assert {name: getattr(typed, name) for name in fields} == fields


def stale(missed: int, body: int) -> error_pb2.StaleSnapshot:
    detail = error_pb2.StaleSnapshot(
        run_id="run_1", cause=error_pb2.STALE_CAUSE_OUT_OF_BAND_EVENT, state_updated_at=5, out_of_band_at=9
    )
    detail.missed.head_seq = 12
    for seq in range(missed):
        event = event_pb2.Event(seq=seq, hook_received=event_pb2.HookReceived())
        event.hook_received.payload.text = "x" * body
        detail.missed.events.append(event)
    return detail


async def test_a_stale_snapshot_carries_what_it_missed(wire: Any) -> None:
    _, typed = await answered(wire, Refusal("STALE_SNAPSHOT", "stale", detail=stale(3, 100)))
    assert isinstance(typed, errors.StaleSnapshot)
    assert (typed.state_updated_at, typed.marker, typed.head_seq, typed.cause) == (5, 9, 12, "OUT_OF_BAND_EVENT")
    assert [event.seq for event in typed.missed] == [0, 1, 2]


async def test_a_snapshot_that_is_ahead_is_a_stale_one_too(wire: Any) -> None:
    _, typed = await answered(wire, Refusal("SNAPSHOT_AHEAD", "ahead", detail=stale(0, 0)))
    assert isinstance(typed, errors.SnapshotAhead)
    assert isinstance(typed, errors.StaleSnapshot)


async def test_missed_events_that_do_not_fit_are_left_out_all_of_them(wire: Any) -> None:
    raw, typed = await answered(wire, Refusal("STALE_SNAPSHOT", "stale", detail=stale(40, 200)))
    assert isinstance(typed, errors.StaleSnapshot)
    assert (typed.missed, typed.head_seq) == ([], 12)
    assert raw.details() == "stale"


@pytest.mark.parametrize("reason", SPECS)
def test_a_status_stays_below_4_kib_and_keeps_its_error_info_whatever_goes_in(reason: str) -> None:
    huge = Refusal(
        reason,
        "é\ud800" * 10_000,
        metadata={f"key_{i}": "ü" * 5_000 for i in range(200)} | {"run_id": "r" * 256},
        detail=error_pb2.HookTokenConflict(token="t" * 3_000, holder_run_id="r" * 256, holder_hook_id="h" * 2_000),
        violations=[FieldViolation("f" * 1_000, "d" * 1_000)] * 100,
        retry_after_ms=5,
    )
    status = to_status(huge)
    assert status.ByteSize() <= STATUS_BYTES_MAX < 4096
    info = error_details_pb2.ErrorInfo()
    assert sum(detail.Unpack(info) for detail in status.details) == 1
    assert (info.reason, info.domain) == (reason, "holdfast")
    assert status.message


def details_of(refusal: Refusal, kind: Any) -> list[Any]:
    found = []
    for packed in to_status(refusal).details:
        detail = kind()
        if packed.Unpack(detail):
            found.append(detail)
    return found


def test_standard_details_go_with_their_codes() -> None:
    missing = Refusal("ENTITY_NOT_FOUND", "no", metadata={"run_id": "r", "step_id": "s"})
    (resource,) = details_of(missing, error_details_pb2.ResourceInfo)
    assert (resource.resource_type, resource.resource_name) == ("holdfast.v1.Step", "s")
    (resource,) = details_of(
        Refusal("RUN_EXISTS", "no", metadata={"request_id": "q", "run_id": "r"}), error_details_pb2.ResourceInfo
    )
    assert (resource.resource_type, resource.resource_name) == ("holdfast.v1.Run", "r")
    (failure,) = details_of(
        Refusal("RUN_TERMINAL", "ended", metadata={"run_id": "r"}), error_details_pb2.PreconditionFailure
    )
    assert [(it.type, it.subject) for it in failure.violations] == [("RUN_TERMINAL", "r")]
    bad = Refusal("INVALID_FIELD", "bad", violations=[FieldViolation("event.step_created.step_name", "is empty")])
    (request,) = details_of(bad, error_details_pb2.BadRequest)
    assert [(it.field, it.description) for it in request.field_violations] == [
        ("event.step_created.step_name", "is empty")
    ]


async def test_field_violations_arrive(wire: Any) -> None:
    refusal = Refusal("INVALID_FIELD", "page_size: bad", violations=[FieldViolation("page_size", "bad")])
    _, typed = await answered(wire, refusal)
    assert isinstance(typed, errors.InvalidRequest)
    assert typed.violations == (FieldViolation("page_size", "bad"),)


async def test_a_missing_hook_is_hook_not_found_and_another_entity_is_not(wire: Any) -> None:
    _, hook = await answered(wire, Refusal("ENTITY_NOT_FOUND", "no", metadata={"token": "t"}))
    _, step = await answered(wire, Refusal("ENTITY_NOT_FOUND", "no", metadata={"step_id": "s"}))
    assert (type(hook), type(step)) == (errors.HookNotFound, errors.EntityNotFound)


async def test_silence_and_slowness_are_not_ready_without_a_reason(wire: Any) -> None:
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        stub: Any = runtime_service_pb2_grpc.RuntimeServiceStub(channel)  # type: ignore[no-untyped-call]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.DescribeRun(runtime_service_pb2.DescribeRunRequest(run_id="x"))
    typed = from_rpc_error(caught.value)
    assert isinstance(typed, errors.NotReady)
    assert typed.reason == ""


async def test_a_method_that_is_not_served_is_an_error_that_tells_the_code(wire: Any) -> None:
    async with grpc.aio.insecure_channel(wire[1]) as channel:
        stub: Any = runtime_service_pb2_grpc.RuntimeServiceStub(channel)  # type: ignore[no-untyped-call]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.StartRun(runtime_service_pb2.StartRunRequest())
    assert "UNIMPLEMENTED" in str(from_rpc_error(caught.value))


async def test_a_reason_newer_than_the_client_is_still_an_error_with_its_reason(wire: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(answers, "BUILDERS", {})
    _, typed = await answered(wire, Refusal("LEASE_LOST", "lost"))
    assert type(typed) is errors.HoldfastError
    assert (typed.reason, str(typed)) == ("LEASE_LOST", "lost")


def test_the_tree_at_the_top_of_errors_names_every_error() -> None:
    drawn = set(re.findall(r"[A-Z]\w+", (errors.__doc__ or "").partition("An error that")[0]))
    defined = {
        name
        for name, it in vars(errors).items()
        if isinstance(it, type) and issubclass(it, errors.HoldfastError) and not name.startswith("_")
    }
    assert defined <= drawn
    assert Path(errors.__file__).read_text().startswith('"""Every error')
