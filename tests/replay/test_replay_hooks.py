"""Hooks in replay: payloads are kept, in order, and no waiter that lost a race swallows one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast import HookConflict, HookDisposed, ReplayDivergence, hook, step, workflow
from tests.replay.rehearsal import Rehearsal, check_replays, event, replayed


@step(name="hooks.work")
async def work(n: int) -> int:
    return n


def finish(run: Rehearsal) -> Any:
    run.settle()
    check_replays(run)
    return run.result()


def test_a_payload_that_came_early_is_kept_in_order() -> None:
    @workflow(name="hooks.early")
    async def early() -> list[int]:
        inbox = hook(int)
        await work(1)
        return [await inbox, await inbox]

    run = Rehearsal(early)
    run.settle()
    run.send("hook_#1", 1)
    run.send("hook_#1", 2)
    run.complete("step_hooks.work#1", 1)
    assert finish(run) == [1, 2]


def test_a_waiter_that_lost_a_race_swallows_nothing() -> None:
    @workflow(name="hooks.losing")
    async def losing() -> int:
        inbox = hook(int)
        try:
            async with asyncio.timeout(5):
                await inbox
        except TimeoutError:
            return await inbox
        return -1

    run = Rehearsal(losing)
    run.settle()
    run.fire("wait_#1")
    run.send("hook_#1", 7)
    assert finish(run) == 7


def test_a_waiter_cancelled_in_the_turn_that_woke_it_gives_the_payload_to_the_next() -> None:
    @workflow(name="hooks.cancelled_when_woken")
    async def cancelled_when_woken() -> list[Any]:
        inbox, signal = hook(int, token="data"), hook(int, token="signal")

        async def take(h: Any) -> Any:
            return await h

        first = asyncio.create_task(take(inbox))
        await signal
        return [first.cancelled(), await inbox]

    run = Rehearsal(cancelled_when_woken)
    run.settle()
    first = next(task for task in run.instance._parts.loop.tasks if task.scope.path == "1/")
    receiving = run.instance._parts.hooks._hooks["hook_#1"]
    # Between the waking of the first waiter and its running, in one turn: exactly the moment a race is lost.
    original = receiving.receive

    def receive_and_cancel(payload: Any) -> None:
        original(payload)
        first.cancel()

    receiving.receive = receive_and_cancel  # type: ignore[method-assign]
    run.send("hook_#1", 5)
    run.send("hook_#2", 0)
    run.settle()
    assert run.result() == [True, 5]


def test_a_second_task_that_waits_is_refused_and_the_first_goes_on() -> None:
    @workflow(name="hooks.two_waiters")
    async def two_waiters() -> list[Any]:
        inbox = hook(int)

        async def take() -> int:
            return await inbox

        first, second = await asyncio.gather(take(), take(), return_exceptions=True)
        return [first, str(second)]

    run = Rehearsal(two_waiters)
    run.settle()
    run.send("hook_#1", 1)
    value, refusal = finish(run)
    assert value == 1
    assert "awaited by another task already" in refusal


def test_a_taken_token_raises_at_the_await_and_names_the_holder() -> None:
    @workflow(name="hooks.taken")
    async def taken() -> list[str]:
        inbox = hook(int, token="order:1")
        holder = await inbox.conflict()
        try:
            await inbox
        except HookConflict as conflict:
            return [str(holder), conflict.token, conflict.run_id]
        return []

    run = Rehearsal(taken)
    run.instance.take_decisions()
    run.say(event("hook_conflict", "hook_#1", token="order:1", holder_run_id="run_9"))
    assert finish(run) == ["run_9", "order:1", "run_9"]


def test_conflict_waits_until_the_hook_is_registered() -> None:
    @workflow(name="hooks.registered")
    async def registered() -> str:
        return str(await hook(int, token="free").conflict())

    run = Rehearsal(registered)
    assert not run.instance.is_ended
    assert finish(run) == "None"


def test_a_generated_token_is_known_at_once_and_the_same_in_every_replay() -> None:
    tokens: list[str] = []

    @workflow(name="hooks.generated")
    async def generated() -> None:
        one, other = hook(int), hook(int)
        tokens.append(f"{one.token} {other.token}")
        await one

    run = Rehearsal(generated)
    decided = run.settle()
    replayed(generated, run.log.events).evict()
    assert tokens[0] == tokens[1]
    assert tokens[0].split() == [it.hook_created.token for it in decided]
    assert len(set(tokens[0].split())) == 2
    elsewhere = Rehearsal(generated, run_id="run_2")
    assert tokens[2] != tokens[0]
    elsewhere.instance.evict()


def test_leaving_the_block_disposes_the_hook_and_wakes_who_still_waits() -> None:
    @workflow(name="hooks.leaving")
    async def leaving() -> str:
        async def late() -> str:
            try:
                return str(await inbox)
            except HookDisposed:
                return "disposed"

        async with hook(int) as inbox:
            waiting = asyncio.create_task(late())
            await work(1)
        return await waiting

    run = Rehearsal(leaving)
    run.settle()
    run.complete("step_hooks.work#1")
    assert finish(run) == "disposed"
    assert "hook_disposed hook_#1" in run.kinds()


def test_a_hook_opened_and_disposed_before_anybody_heard_of_it_leaves_no_trace() -> None:
    @workflow(name="hooks.unheard")
    async def unheard() -> None:
        async with hook(int):
            pass
        await work(1)

    run = Rehearsal(unheard)
    assert [it.WhichOneof("attributes") for it in run.settle()] == ["step_created"]


def test_a_disposal_from_outside_ends_the_wait_after_what_came_before_was_taken() -> None:
    @workflow(name="hooks.expired")
    async def expired() -> list[Any]:
        inbox = hook(int)
        found: list[Any] = [await inbox]
        await work(1)
        found.append(await inbox)
        try:
            await inbox
        except HookDisposed:
            found.append("disposed")
        return found

    run = Rehearsal(expired)
    run.settle()
    run.send("hook_#1", 1)
    run.send("hook_#1", 2)
    run.settle()
    run.say(event("hook_disposed", "hook_#1", reason="expired"))
    run.complete("step_hooks.work#1")
    assert finish(run) == [1, 2, "disposed"]


def test_a_payload_for_a_disposed_hook_is_never_delivered() -> None:
    @workflow(name="hooks.closed")
    async def closed() -> str:
        inbox = hook(int)
        await work(1)
        await inbox.dispose()
        try:
            return str(await inbox)
        except HookDisposed:
            return "disposed"

    run = Rehearsal(closed)
    run.settle()
    run.send("hook_#1", 1)
    run.complete("step_hooks.work#1")
    assert finish(run) == "disposed"


def test_iteration_takes_payload_after_payload() -> None:
    @workflow(name="hooks.iterating")
    async def iterating() -> int:
        total = 0
        async with hook(int) as inbox:
            async for value in inbox:
                total += await work(value)
                if value == 0:
                    break
        return total

    run = Rehearsal(iterating)
    assert run.play([lambda it, value=value: it.send("hook_#1", value) for value in (3, 4, 0)]) == 7  # type: ignore[misc]
    check_replays(run)


@pytest.mark.parametrize("value", [None, {"a": [1]}, "text"])
def test_any_json_goes_through(value: Any) -> None:
    @workflow(name="hooks.any")
    async def anything() -> Any:
        return await hook()

    run = Rehearsal(anything)
    run.settle()
    run.send("hook_#1", value)
    assert finish(run) == value


def test_a_disposal_counts_at_once_and_not_only_when_the_log_has_it() -> None:
    @workflow(name="hooks.at_once")
    async def at_once() -> str:
        inbox = hook(int)
        await work(1)
        await inbox.dispose()
        try:
            await inbox
        except HookDisposed:
            return "disposed"
        return "not seen"

    run = Rehearsal(at_once)
    run.settle()
    run.complete("step_hooks.work#1")
    assert run.instance.is_ended
    assert [it.WhichOneof("attributes") for it in run.settle()] == ["hook_disposed", "run_completed"]
    check_replays(run)


def test_who_waits_for_the_registration_of_a_hook_that_is_disposed_is_told_so() -> None:
    @workflow(name="hooks.unregistered")
    async def unregistered() -> str:
        inbox = hook(int)
        waiting = asyncio.create_task(inbox.conflict())
        await asyncio.sleep(0)
        await inbox.dispose()
        try:
            await waiting
        except HookDisposed as error:
            return str(error)
        return "not seen"

    assert "before it was registered" in finish(Rehearsal(unregistered))


def test_a_disposal_that_nobody_heard_of_is_written_when_the_log_shows_the_hook_after_all() -> None:
    """Another process had written the hook, and its disposal was lost: it is not, although it was looked for before."""

    @workflow(name="hooks.heard_of_later")
    async def heard_of_later() -> None:
        async with hook(int, token="later"):
            pass
        await work(1)

    run = Rehearsal(heard_of_later)
    assert [it.WhichOneof("attributes") for it in run.instance.take_decisions()] == ["step_created"]
    run.say(event("hook_created", "hook_#1", token="later"), is_decision=True)
    assert [it.WhichOneof("attributes") for it in run.instance.take_decisions()] == ["hook_disposed"]


def test_a_conflict_over_another_token_than_the_code_asks_for_is_a_divergence() -> None:
    run = Rehearsal(asks_for_a_token)
    with pytest.raises(ReplayDivergence, match="another token"):
        run.say(event("hook_conflict", "hook_#1", token="another token", holder_run_id="run_2"), is_decision=True)


def test_a_hook_that_lost_its_token_is_unknown_from_then_on() -> None:
    run = Rehearsal(asks_for_a_token)
    run.say(event("hook_conflict", "hook_#1", token="asked", holder_run_id="run_2"), is_decision=True)
    with pytest.raises(ReplayDivergence, match="nothing that has the id hook_#1"):
        run.send("hook_#1", 1)


@workflow(name="hooks.asks_for_a_token")
async def asks_for_a_token() -> None:
    inbox = hook(int, token="asked")
    await work(1)
    await inbox
