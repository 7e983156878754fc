"""``patched``: False where a run went before the change, True from then on, and the same in every replay."""

from __future__ import annotations

import asyncio
import random

import pytest

import holdfast
from holdfast import WrongContext, patched, step, workflow
from holdfast.context import STEP
from tests.changing.takeover import patches, taken_over
from tests.replay.rehearsal import Rehearsal, check_replays, event, replayed


@step(name="patched.old")
async def old(n: int) -> str:
    return f"old {n}"


@step(name="patched.new")
async def new(n: int) -> str:
    return f"new {n}"


@workflow(name="patched.loop before")
async def loop_before(turns: int) -> list[str]:
    return [await old(turn) for turn in range(turns)]


@workflow(name="patched.loop")
async def loop(turns: int) -> list[str]:
    return [await new(turn) if patched("new") else await old(turn) for turn in range(turns)]


@workflow(name="patched.loop without the call")
async def loop_after(turns: int) -> list[str]:
    return [await new(turn) for turn in range(turns)]


async def _branch_before(n: int) -> list[str]:
    await asyncio.sleep(n)
    return [await old(turn) for turn in range(3)]


async def _branch(n: int) -> list[str]:
    await asyncio.sleep(n)
    return [await new(turn) if patched("new") else await old(turn) for turn in range(3)]


@workflow(name="patched.branches before")
async def branches_before() -> list[list[str]]:
    return await asyncio.gather(*(_branch_before(n) for n in range(4)))


@workflow(name="patched.branches")
async def branches() -> list[list[str]]:
    return await asyncio.gather(*(_branch(n) for n in range(4)))


@workflow(name="patched.early before")
async def early_before(token: str) -> str:
    async with holdfast.hook(str, token=token) as values:
        first = await values
        second = await values
    return f"{first} {second} {await old(0)}"


@workflow(name="patched.early")
async def early(token: str) -> str:
    async with holdfast.hook(str, token=token) as values:
        await values.conflict()
        is_new = patched("new")
        first = await values
        second = await values
    return f"{first} {second} {await new(0) if is_new else await old(0)}"


def test_a_new_run_gets_true_and_one_record_of_it() -> None:
    run = Rehearsal(loop, 4)
    assert run.play() == ["new 0", "new 1", "new 2", "new 3"]
    assert patches(run) == ["patch_new#1"]
    check_replays(run)


def test_a_run_that_ended_before_the_change_replays_with_false_and_no_record() -> None:
    run = Rehearsal(loop_before, 3)
    run.play()
    instance = replayed(loop, run.log.events)
    assert instance.is_ended and instance.take_decisions() == []


@pytest.mark.parametrize("done", range(5))
def test_in_a_loop_the_turns_of_the_old_code_stay_old_and_all_others_are_new(done: int) -> None:
    run = Rehearsal(loop_before, 4)
    for turn in range(done):
        run.settle()
        run.complete(f"step_patched.old#{turn + 1}", f"old {turn}")
    run = taken_over(run, loop)
    assert run.play() == [f"{'old' if turn < done else 'new'} {turn}" for turn in range(4)]
    assert len(patches(run)) == (done < 4)
    assert replayed(loop, run.log.events).take_decisions() == []


def test_a_call_that_was_removed_later_leaves_its_record_without_harm() -> None:
    run = Rehearsal(loop, 3)
    run.play()
    assert replayed(loop_after, run.log.events).take_decisions() == []


def test_the_answer_is_true_while_its_record_is_still_to_be_written_and_facts_come_first() -> None:
    run = Rehearsal(early, "t")
    run.settle()
    run.send("hook_#1", "a")
    run.send("hook_#1", "b")
    assert replayed(early, run.log.events).take_decisions() == run.instance.take_decisions()


def test_a_record_of_our_own_batch_is_no_sign_of_older_code() -> None:
    """The hook is registered in the middle of a batch; what follows in the batch was asked for by this code."""

    @workflow(name="patched.batch")
    async def batch(token: str) -> list[str]:
        async def waits() -> str:
            async with holdfast.hook(str, token=token) as values:
                await values.conflict()
                return await new(1) if patched("new") else await old(1)

        return await asyncio.gather(waits(), old(2))

    run = Rehearsal(batch, "t")
    decisions = run.instance.take_decisions()
    assert [it.WhichOneof("attributes") for it in decisions] == ["hook_created", "step_created"]
    for decision in decisions:
        run.log.commit(decision)
    following = run.log.events[2:]
    run.instance.foresee(following)
    for committed in following:
        run.instance.deliver(committed)
    assert [it.WhichOneof("attributes") for it in run.instance.take_decisions()] == ["patch_applied", "step_created"]


@pytest.mark.parametrize("seed", range(30))
def test_code_may_change_at_any_moment_of_a_run_and_no_replay_diverges(seed: int) -> None:
    chance = random.Random(seed)
    complete = Rehearsal(branches_before, seed=seed)
    complete.play()
    length = chance.randrange(2, len(complete.log.events) + 1)
    complete.log.events = complete.log.events[:length]
    run = taken_over(complete, branches, seed=seed)
    result = run.play(hurry=0.7)
    assert [[text.split()[1] for text in branch] for branch in result] == [["0", "1", "2"]] * 4
    for branch in result:
        assert branch == sorted(branch, key=lambda text: text.startswith("new")), "once new, never old again"
    again = replayed(branches, run.log.events)
    assert again.is_ended and again.take_decisions() == [], "every answer is the same in the next replay"
    for position in range(length, len(run.log.events)):
        replayed(branches, run.log.events[:position]).evict()


def test_without_a_look_at_the_log_the_old_turns_would_diverge() -> None:
    run = Rehearsal(loop_before, 2)
    run.play()
    instance = Rehearsal(loop, 2, start=False).instance
    with pytest.raises(holdfast.ReplayDivergence):
        for it in run.log.events:
            instance.deliver(it)


def test_a_plain_call_is_new_a_step_refuses_and_so_does_a_bad_name() -> None:
    assert patched("anything")
    with pytest.raises(ValueError, match="1 to 256 printable"):
        patched("")
    token = STEP.set(object())  # type: ignore[arg-type]
    try:
        with pytest.raises(WrongContext, match="workflow bodies"):
            patched("new")
    finally:
        STEP.reset(token)


def test_what_came_from_outside_does_not_look_like_older_code() -> None:
    run = Rehearsal(early, "t")
    run.settle()
    run.say(event("run_cancelled", reason="by force"))
    assert replayed(early, run.log.events).is_ended
