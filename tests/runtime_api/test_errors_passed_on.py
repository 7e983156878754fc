"""Errors of the store reach the caller of the runtime with their reason, metadata and detail."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from holdfast.errors import HoldfastError, NotReady
from holdfast.refusal import SPECS, FieldViolation, Refusal
from holdfast.v1 import error_pb2
from holdfast.v1.runtime_service_pb2 import CancelRunRequest, GetRuntimeInfoRequest
from holdfast.wire import abort_arguments, from_rpc_error
from runtime_service.api.errors import as_refusal
from tests.runtime_api.definitions_for_tests import ALL
from tests.support.refusals import refused
from tests.support.runtime import running_runtime, runtime_stub

#: The store refuses this runtime, not the caller.
OURS = ("UNAUTHENTICATED", "PERMISSION_DENIED")

#: Answers to what only a replay or a worker sends.
NEVER_MET = ("STALE_SNAPSHOT", "SNAPSHOT_AHEAD", "RETRY_TOO_EARLY", "LEASE_LOST", "HOOK_TOKEN_CONFLICT")

DETAILS: dict[str, Any] = {
    "RUN_EXISTS": error_pb2.EntityExists(run_id="run_1", created_seq=1, same_content=True),
    "ENTITY_EXISTS": error_pb2.EntityExists(run_id="run_1", created_seq=1, same_content=True),
    "RUN_TERMINAL": error_pb2.IllegalTransition(run_id="run_1", current_status="RUN_STATUS_FAILED", current_seq=9),
    "ILLEGAL_TRANSITION": error_pb2.IllegalTransition(run_id="run_1", correlation_id="hook_#1", current_seq=9),
    "TOO_LARGE": error_pb2.LimitExceeded(limit="payload_bytes", max=10, actual=11),
    "THROTTLED": error_pb2.LimitExceeded(limit="streams", max=10, actual=11),
    "QUOTA_EXCEEDED": error_pb2.LimitExceeded(limit="run_events", max=10, actual=11),
    "CURSOR_EXPIRED": error_pb2.CursorExpired(oldest_cursor="abc", oldest_position=4),
}


class Failed(grpc.RpcError):
    """A failed call, as grpc hands it out."""

    def __init__(self, refusal: Refusal) -> None:
        self._code, self._details, self._trailers = abort_arguments(refusal)

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> Any:
        return self._trailers


@pytest.mark.parametrize("reason", [reason for reason in SPECS if reason not in (*OURS, *NEVER_MET)])
def test_what_the_store_says_is_what_the_caller_hears(reason: str) -> None:
    metadata = {"run_id": "run_1", "created_seq": 1, "current_seq": 9, "limit": "streams", "max": 10, "actual": 11}
    said = Refusal(
        reason,
        "the words of the store",
        metadata=metadata,
        detail=DETAILS.get(reason),
        violations=[FieldViolation("cursor", "bad")] if reason == "INVALID_FIELD" else (),
        retry_after_ms=250,
    )
    heard = as_refusal(from_rpc_error(Failed(said)))
    assert (heard.reason, heard.message, heard.metadata) == (said.reason, said.message, said.metadata)
    assert (heard.violations, heard.retry_after_ms) == (said.violations, 250)
    assert heard.detail == said.detail


@pytest.mark.parametrize("reason", OURS)
def test_a_store_that_refuses_the_runtime_is_not_the_callers_fault(reason: str) -> None:
    heard = as_refusal(from_rpc_error(Failed(Refusal(reason, "no"))))
    assert heard.reason == "NOT_READY"
    assert "HOLDFAST_STORE_TOKEN" in heard.message


def test_a_store_that_nobody_answers_for_is_not_ready() -> None:
    assert as_refusal(NotReady("UNAVAILABLE: connection refused")).reason == "NOT_READY"


@pytest.mark.parametrize("known", [{"seconds": 7}, None])
def test_when_a_lease_ended_is_passed_on_as_far_as_it_is_known(known: Any) -> None:
    detail = error_pb2.LeaseLost(message_id="msg_1", taken_over=True, expire_time=known)
    assert as_refusal(from_rpc_error(Failed(Refusal("LEASE_LOST", "no", detail=detail)))).detail == detail


def test_an_error_that_no_store_sends_is_our_own_bug_and_stays_one() -> None:
    with pytest.raises(HoldfastError):
        as_refusal(HoldfastError("what?"))


async def test_a_read_token_reads_and_changes_nothing(store_address: str) -> None:
    tokens = {"token": "full", "read_token": "reader"}
    async with (
        running_runtime(store_address, *ALL, **tokens) as runtime,
        runtime_stub(runtime.address) as stub,
    ):
        metadata = (("authorization", "Bearer reader"),)
        assert (await stub.GetRuntimeInfo(GetRuntimeInfoRequest(), metadata=metadata)).store_id
        refusal = await refused(stub.CancelRun(CancelRunRequest(run_id="r"), metadata=metadata))
        assert (refusal.code.name, refusal.info.reason) == ("PERMISSION_DENIED", "PERMISSION_DENIED")


async def test_a_bug_is_told_as_an_incident_and_shows_no_traceback(stub: Any, runtime: Any) -> None:
    runtime.front.worker = None
    refusal = await refused(stub.GetRuntimeInfo(GetRuntimeInfoRequest()))
    runtime.front.worker = runtime.worker
    assert (refusal.code.name, refusal.info.reason) == ("INTERNAL", "INTERNAL")
    assert refusal.info.metadata["incident_id"] in refusal.message
    assert "Traceback" not in refusal.message
