"""What a client refuses at the call, before anything is sent."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from holdfast import Client, LimitExceeded, SerializationError, WrongContext
from holdfast.requests import cancel_request, find_request, resume_request, start_request
from holdfast.v1 import entity_pb2, runtime_service_pb2
from tests.authoring.desk import in_workflow
from tests.client.shop import Order, charge, checkout


def request(workflow: Any = checkout, *args: Any, **options: Any) -> runtime_service_pb2.StartRunRequest:
    options = {"run_id": None, "attributes": {}, "start_at": None, "on_conflict": "fail", "kwargs": {}, **options}
    return start_request(workflow, args, options.pop("kwargs"), **options)


def test_a_start_carries_what_was_asked_for() -> None:
    found = request(
        checkout,
        Order(id="7"),
        run_id="order:7",
        attributes={"customer": "42"},
        start_at=datetime(2030, 1, 1, tzinfo=UTC),
        on_conflict="use_existing",
        kwargs={"suffix": "!"},
    )
    assert (found.workflow_name, found.run_id, dict(found.attributes)) == (
        "client_shop.checkout",
        "order:7",
        {"customer": "42"},
    )
    assert found.input.text == '[{"id":"7","seal":"_w=="},"!"]'
    assert found.start_time.ToMilliseconds() == 1_893_456_000_000
    assert found.conflict_policy == runtime_service_pb2.RUN_CONFLICT_POLICY_USE_EXISTING


def test_run_and_request_ids_are_made_by_the_client_so_that_a_repeat_is_the_same_call() -> None:
    one, two = request(checkout, Order(id="7")), request(checkout, Order(id="7"))
    assert re.fullmatch(r"run_[0-9A-HJKMNP-TV-Z]{26}", one.run_id)
    assert one.run_id != two.run_id
    assert one.request_id != two.request_id
    assert one.request_id


@pytest.mark.parametrize("wrong", ["", "a b", "x" * 129, "a/b", "é", 7])
def test_a_bad_run_id_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="id must be 1 to 128"):
        request(checkout, Order(id="7"), run_id=wrong)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"on_conflict": "ignore"}, ValueError, "fail, use_existing"),
        ({"start_at": datetime(2030, 1, 1)}, ValueError, "time zone"),
        ({"attributes": {"k": 3}}, TypeError, "must be text"),
        ({"attributes": {"k": None}}, TypeError, "must be text"),
        ({"attributes": {"k": "x" * 257}}, LimitExceeded, "too long"),
        ({"kwargs": {"nope": 1}}, TypeError, "unexpected keyword argument 'nope'"),
    ],
)
def test_a_bad_option_is_refused(options: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        request(checkout, Order(id="7"), **options)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(SerializationError, match=r"workflow client_shop\.checkout: parameter 'order'"):
        request(checkout, "no order")
    with pytest.raises(TypeError, match="missing a required argument"):
        request(checkout)
    with pytest.raises(LimitExceeded):
        request(checkout, Order(id="x" * 3_000_000))
    with pytest.raises(SerializationError):
        request("client_shop.checkout", object())


@pytest.mark.parametrize("wrong", [charge, print, None, 3])
def test_only_workflows_can_be_started(wrong: Any) -> None:
    with pytest.raises(TypeError, match="@workflow or the name"):
        request(wrong)


def test_a_long_reason_and_an_unknown_status_are_refused() -> None:
    with pytest.raises(LimitExceeded):
        cancel_request("run_1", "x" * 513, False)
    with pytest.raises(ValueError, match="pending, running, completed, failed, cancelled"):
        find_request(None, "done", {})
    found = find_request(checkout, ["failed", "cancelled"], {"a": "b"})
    assert list(found.statuses) == [entity_pb2.RUN_STATUS_FAILED, entity_pb2.RUN_STATUS_CANCELLED]
    assert found.workflow_name == "client_shop.checkout"


def test_a_value_for_a_hook_must_be_json() -> None:
    with pytest.raises(SerializationError):
        resume_request("t", object(), None)
    with pytest.raises(LimitExceeded):
        resume_request("t", "x" * 3_000_000, None)
    assert resume_request("t", Order(id="7"), "mine").request_id == "mine"


async def test_a_workflow_body_cannot_call_a_runtime() -> None:
    async with Client("127.0.0.1:1") as client:
        with in_workflow(), pytest.raises(WrongContext, match="move the call into a step"):
            await client.start(checkout, Order(id="7"))
