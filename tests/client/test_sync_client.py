"""The same verbs for plain code."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from holdfast import (
    Client,
    HookNotFound,
    RunFailed,
    RunHandle,
    StreamReader,
    SyncClient,
    SyncRunHandle,
    SyncStreamReader,
)
from tests.client.shop import Approval, Order, approve, checkout, fail, rest


async def plain(work: Callable[..., Any], *args: Any) -> Any:
    """Run plain code beside the services of this process."""
    return await asyncio.to_thread(work, *args)


async def test_plain_code_starts_waits_and_finds(runtime_address: str) -> None:
    def work() -> None:
        with SyncClient(runtime_address) as client:
            run = client.start(checkout, Order(id="7"), attributes={"customer": "42"})
            assert run.result("20s") == Order(id="charged 7", seal=b"\xff")
            assert run.status() == "completed"
            assert [found.run_id for found in client.runs(attributes={"customer": "42"})] == [run.id]
            assert client.run(run.id).describe().run.workflow_name == "client_shop.checkout"
            with pytest.raises(RunFailed):
                client.start(fail, "no").result("20s")

    await plain(work)


async def test_plain_code_follows_and_steers(runtime_address: str) -> None:
    def work() -> None:
        with SyncClient(runtime_address) as client:
            run = client.start(approve, Order(id="plain"))
            for event in run.events():
                if event.HasField("hook_created"):
                    assert client.hook("approve:plain").run_id == run.id
                    client.resume("approve:plain", Approval(approved=True))
                    client.resume("approve:plain", Approval(approved=True))
            assert run.result() == [True, True]
            with pytest.raises(HookNotFound):
                client.resume("approve:plain", 1)
            resting = client.start(rest)
            with pytest.raises(TimeoutError):
                resting.result("10ms")
            assert resting.cancel("enough")

    await plain(work)


@pytest.mark.parametrize(
    ("plain_kind", "kind"), [(SyncClient, Client), (SyncRunHandle, RunHandle), (SyncStreamReader, StreamReader)]
)
def test_every_verb_is_there_with_the_same_options(plain_kind: type, kind: type) -> None:
    def verbs(of: type) -> dict[str, list[str]]:
        found = inspect.getmembers(of, inspect.isfunction)
        return {name: list(inspect.signature(it).parameters) for name, it in found if not name.startswith("_")}

    # The options of `start` are written out in its overloads, which mypy holds against calls.
    assert verbs(plain_kind) | {"start": []} == verbs(kind) | {"start": []}
    assert ("start" in verbs(plain_kind)) == ("start" in verbs(kind))


async def test_leaving_the_events_early_closes_the_stream(runtime_address: str) -> None:
    def work() -> None:
        with SyncClient(runtime_address) as client:
            for event in client.start(rest).events():
                if event.HasField("wait_created"):
                    break

    await plain(work)
