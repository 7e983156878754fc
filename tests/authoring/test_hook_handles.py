"""What a workflow holds of a hook."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from holdfast import Hook, HookDisposed, LimitExceeded, SerializationError, hook
from holdfast.serialization import encode_value
from tests.authoring.desk import DeskHook, in_workflow


class Approval(BaseModel):
    approved: bool


def send(port: DeskHook, *values: Any) -> None:
    port.payloads.extend(encode_value(Any, value) for value in values)


async def test_a_hook_is_awaited_for_the_next_payload_and_iterated_for_many() -> None:
    with in_workflow() as desk:
        approvals = hook(Approval, token="order:1")
        send(desk.hooks[0][1], {"approved": True}, {"approved": False}, {"approved": True})
        assert approvals.token == "order:1"
        assert await approvals == Approval(approved=True)
        assert [it.approved async for it in approvals] == [False, True]
        with pytest.raises(HookDisposed):
            await approvals


async def test_leaving_the_block_disposes_whatever_happened_in_it() -> None:
    with in_workflow() as desk:
        with pytest.raises(ZeroDivisionError):
            async with hook() as opened:
                assert isinstance(opened, Hook)
                raise ZeroDivisionError
        assert desk.hooks[0][1].is_disposed
        second = hook()
        await second.dispose()
        assert desk.hooks[1][1].is_disposed


async def test_conflict_tells_the_holder_or_none() -> None:
    with in_workflow() as desk:
        opened = hook(token="t")
        assert await opened.conflict() is None
        desk.hooks[0][1].holder = "run_2"
        assert await opened.conflict() == "run_2"


async def test_a_payload_that_does_not_fit_is_told_on_receiving_too() -> None:
    with in_workflow() as desk:
        opened = hook(Approval)
        send(desk.hooks[0][1], {"approved": "perhaps"})
        with pytest.raises(SerializationError, match="not a valid Approval: approved"):
            await opened


def test_a_hook_shows_its_schema_and_metadata_to_senders() -> None:
    with in_workflow() as desk:
        hook(Approval, metadata={"order": 7})
        hook()
    typed, untyped = (call for call, _ in desk.hooks)
    assert json.loads(typed.payload_schema)["properties"]["approved"]["type"] == "boolean"
    assert typed.metadata is not None
    assert json.loads(typed.metadata.text) == {"order": 7}
    assert (untyped.payload_schema, untyped.metadata, untyped.token) == ("", None, "")
    assert typed.source.startswith(f"{__file__}:")


def test_a_bad_token_or_metadata_is_refused_at_the_call() -> None:
    with in_workflow() as desk:
        for wrong in ("", 3, "a\nb", "\x00", "\ud800"):
            with pytest.raises(ValueError, match="token"):
                hook(token=wrong)  # type: ignore[arg-type]
        with pytest.raises(LimitExceeded):
            hook(token="x" * 513)
        with pytest.raises(SerializationError):
            hook(metadata=object())
    assert desk.hooks == []
