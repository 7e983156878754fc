"""Running and steering, over real sockets."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdfast import (
    Client,
    HookNotFound,
    InvalidPayload,
    InvalidRequest,
    NotReady,
    NotRegistered,
    PermissionDenied,
    RequestIdReused,
    RunCancelled,
    RunExists,
    RunFailed,
    RunNotFound,
    RunTerminal,
    StepFailed,
    Unauthenticated,
)
from tests.client.shop import ALL, Approval, Declined, Order, approve, checkout, fail, rest
from tests.support.runtime import running_runtime
from tests.support.store import running_store


async def until_open(client: Client, token: str) -> None:
    """Wait until a hook is open, by the log of its run."""
    run = client.run(token.replace("approve:", "approve-"))
    async for event in run.events():
        if event.HasField("hook_created"):
            return


async def test_a_result_comes_by_the_annotation_when_started_from_a_function(client: Client) -> None:
    run = await client.start(checkout, Order(id="7"), kwargs={"suffix": "!"})
    assert await run.result(timeout="20s") == Order(id="charged 7!", seal=b"\xff")
    assert await run.status() == "completed"


async def test_a_workflow_started_by_name_takes_and_gives_plain_json(client: Client) -> None:
    run = await client.start("client_shop.checkout", {"id": "7"})
    expected = {"id": "charged 7", "seal": "_w=="}
    assert await run.result("20s") == expected
    assert await client.run(run.id).result("20s") == expected


async def test_a_failed_run_has_the_step_and_the_original_as_its_causes(client: Client) -> None:
    run = await client.start(fail, "no money")
    with pytest.raises(RunFailed) as failed:
        await run.result("20s")
    step = failed.value.__cause__
    assert isinstance(step, StepFailed)
    assert (step.step_name, step.attempts) == ("shop.decline", 1)
    assert isinstance(step.__cause__, Declined)
    assert step.__cause__.args == ("no money",)
    assert "shop.py" in "".join(step.__cause__.__notes__)
    assert (failed.value.failure.type, failed.value.run_id) == ("holdfast.StepFailed", run.id)
    assert await run.status() == "failed"


async def test_waiting_ends_with_timeout_error_and_the_run_goes_on(client: Client) -> None:
    run = await client.start(rest)
    for timeout in ("50ms", 0, timedelta(milliseconds=10)):
        with pytest.raises(TimeoutError, match=f"run {run.id} has not ended"):
            await run.result(timeout)
    with pytest.raises(ValueError, match="timeout"):
        await run.result("soon")
    assert await run.status() in ("pending", "running")


async def test_waking_fires_the_open_sleeps_and_tells_how_many(client: Client) -> None:
    run = await client.start(rest)
    waits = 0
    async for event in run.events():
        waits += event.HasField("wait_created")
        if waits == 2:
            break
    assert await run.wake() == 2
    assert await run.result("20s") == "rested"
    with pytest.raises(RunTerminal):
        await run.wake()


async def test_a_cancelled_run_raises_run_cancelled_with_the_reason(client: Client) -> None:
    run = await client.start(rest)
    assert await run.cancel("no longer needed")
    with pytest.raises(RunCancelled, match="no longer needed"):
        await run.result("20s")
    assert not await run.cancel()
    forced = await client.start(rest)
    assert await forced.cancel("now", force=True)
    assert await forced.status() == "cancelled"


async def test_events_come_dense_and_in_order_live_and_end_with_the_run(client: Client) -> None:
    run = await client.start(approve, Order(id="live"))
    seen = []
    async for event in run.events():
        seen.append(event)
        if event.HasField("hook_created"):
            await client.resume("approve:live", Approval(approved=True))
            await client.resume("approve:live", {"approved": False})
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    assert seen[-1].HasField("run_completed")
    assert await run.result("20s") == [True, False]
    assert [event.seq async for event in run.events()] == [event.seq for event in seen]


async def test_a_resume_with_the_same_request_id_delivers_once(client: Client) -> None:
    run = await client.start(approve, Order(id="once"), id="approve-once")
    await until_open(client, "approve:once")
    first = await client.resume("approve:once", Approval(approved=True), request_id="r1")
    again = await client.resume("approve:once", Approval(approved=True), request_id="r1")
    assert (first.deduplicated, again.deduplicated) == (False, True)
    assert first.event.event_id == again.event.event_id
    with pytest.raises(RequestIdReused):
        await client.resume("approve:once", Approval(approved=False), request_id="r1")
    await client.resume("approve:once", Approval(approved=False))
    assert await run.result("20s") == [True, False]


async def test_a_hook_can_be_looked_up_while_it_is_open_and_a_bad_value_is_refused_to_the_sender(
    client: Client,
) -> None:
    run = await client.start(approve, Order(id="look"), id="approve-look")
    await until_open(client, "approve:look")
    found = await client.hook("approve:look")
    assert (found.run_id, found.metadata.text) == (run.id, '{"order":"look"}')
    with pytest.raises(InvalidPayload, match="approved"):
        await client.resume("approve:look", {"approved": "perhaps"})
    assert (await client.hook("approve:look")).received_count == 0
    await run.cancel(force=True)
    for ask in (client.hook("approve:look"), client.resume("approve:look", Approval(approved=True))):
        with pytest.raises(HookNotFound):
            await ask


async def test_an_id_that_is_taken_is_run_exists_or_the_existing_run(client: Client) -> None:
    await client.start(rest, id="rest:1")
    with pytest.raises(RunExists) as taken:
        await client.start(rest, id="rest:1")
    assert taken.value.reason == "RUN_EXISTS"
    run = await client.start(rest, id="rest:1", on_conflict="use_existing")
    assert run.id == "rest:1"


async def test_runs_are_found_by_workflow_status_and_attributes(client: Client) -> None:
    paid = await client.start(checkout, Order(id="1"), attributes={"customer": "42"})
    await paid.result("20s")
    await client.start(rest, attributes={"customer": "42"})
    found = [
        run.run_id async for run in client.runs(workflow=checkout, status="completed", attributes={"customer": "42"})
    ]
    assert found == [paid.id]
    assert [run.run_id async for run in client.runs(attributes={"stage": "paid"})] == [paid.id]
    assert len([run async for run in client.runs(status=["completed", "running", "pending"])]) == 2


async def test_runs_come_page_after_page(client: Client) -> None:
    ids = {(await client.start(rest, start_at=datetime.now(UTC) + timedelta(days=1))).id for _ in range(103)}
    found = [run.run_id async for run in client.runs(workflow="shop.rest")]
    assert len(found) == len(set(found)) == 103
    assert set(found) == ids


async def test_a_description_shows_what_is_open(client: Client) -> None:
    run = await client.start(approve, Order(id="open"), id="approve-open")
    await until_open(client, "approve:open")
    description = await run.describe()
    assert [hook.token for hook in description.open_hooks] == ["approve:open"]
    assert description.run.workflow_name == "shop.approve"


async def test_unknown_runs_and_workflows_are_told(client: Client) -> None:
    with pytest.raises(NotRegistered, match=r"shop\.checkout"):
        await client.start("shop.chekout")
    with pytest.raises(InvalidRequest, match="parameter 'order'"):
        await client.start("client_shop.checkout", {"ident": 7})
    unknown = client.run("run_unknown")
    for ask in (unknown.status(), unknown.result(), unknown.cancel(), unknown.wake(), unknown.describe()):
        with pytest.raises(RunNotFound):
            await ask
    with pytest.raises(RunNotFound):
        [event async for event in unknown.events()]


async def test_nobody_at_the_address_is_told_with_the_address_when_patience_ends() -> None:
    async with Client("127.0.0.1:1", patience="100ms") as client:
        with pytest.raises(NotReady, match=r"no runtime answers at 127\.0\.0\.1:1"):
            await client.start(rest)


async def test_a_closed_client_says_so(runtime_address: str) -> None:
    client = Client(runtime_address)
    await client.close()
    await client.close()
    with pytest.raises(RuntimeError, match="closed"):
        await client.start(rest)


async def test_the_token_comes_by_option_or_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        running_store(tmp_path / "store.db", token="s3cret") as store,
        running_runtime(store.address, *ALL, token="s3cret", store_token="s3cret") as runtime,
    ):
        async with Client(runtime.address, token="wrong") as client:
            with pytest.raises((Unauthenticated, PermissionDenied)) as refused:
                await client.start(rest)
            assert "s3cret" not in str(refused.value)
        async with Client(runtime.address, token="s3cret") as client:
            await client.start(rest)
        monkeypatch.setenv("HOLDFAST_TOKEN", "s3cret")
        monkeypatch.setenv("HOLDFAST_RUNTIME_ADDRESS", runtime.address)
        async with Client() as client:
            assert await (await client.start(rest)).status() in ("pending", "running")


async def test_many_clients_may_wait_for_one_run(client: Client) -> None:
    run = await client.start(checkout, Order(id="7"))
    results = await asyncio.gather(*(client.run(run.id).result("20s") for _ in range(20)))
    assert all(result["id"] == "charged 7" for result in results)
