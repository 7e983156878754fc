"""Hooks that race their end and each other (hazards 20 and 21) on real processes."""

from __future__ import annotations

import asyncio
import json
import random

import grpc

from holdfast.errors import HoldfastError, HookNotFound, IllegalTransition, RunTerminal
from holdfast.v1 import runtime_service_pb2, runtime_service_pb2_grpc
from tests.checkers.log_audit import audit_file
from tests.hazards.stage import Stage, eventually
from tests.storms.store_calls import Event, output

RUNS = 10
SENDS = 8
OPEN_SECONDS = 0.1

SEED = 7


async def test_a_value_that_races_the_close_of_its_hook_is_taken_or_told_never_both_or_neither(stage: Stage) -> None:
    await stage.runtime()
    rng = random.Random(SEED)
    outcomes = await asyncio.gather(*(_race_one(stage, f"run_{number}", rng) for number in range(RUNS)))
    accepted = sum(len(told[True]) for told in outcomes)
    assert 0 < accepted < RUNS * SENDS, f"the race has one winner only: {accepted} of {RUNS * SENDS} (seed {SEED})"


async def _race_one(stage: Stage, run_id: str, rng: random.Random) -> dict[bool, list[str]]:
    await stage.start(run_id, "short_hook", f"token:{run_id}", OPEN_SECONDS)
    told: dict[bool, list[str]] = {True: [], False: []}
    await eventually(lambda: _is_open(stage, run_id), "the hook was not opened")

    async def send(value: str, delay: float) -> None:
        await asyncio.sleep(delay)
        try:
            await stage.calls.send(f"token:{run_id}", value, request_id=f"{run_id}:{value}")
        except (HookNotFound, IllegalTransition, RunTerminal):
            told[False].append(value)
        else:
            told[True].append(value)

    await asyncio.gather(*(send(f"value {number}", rng.uniform(0, 2 * OPEN_SECONDS)) for number in range(SENDS)))
    log = await stage.ended(run_id)
    received = [json.loads(it.hook_received.payload.text) for it in log if it.HasField("hook_received")]
    assert sorted(received) == sorted(told[True])
    closed = next(it.seq for it in log if it.HasField("hook_disposed") or it.HasField("run_completed"))
    assert all(it.seq < closed for it in log if it.HasField("hook_received"))
    assert output(log) == received[: len(output(log))]
    return told


async def _is_open(stage: Stage, run_id: str) -> bool:
    return any(event.HasField("hook_created") for event in await stage.calls.log(run_id))


async def test_of_runs_that_claim_a_token_in_the_same_instant_one_wins_and_every_replay_agrees(stage: Stage) -> None:
    for replay_always in (False, True):
        await stage.runtime(replay_always=replay_always)
    run_ids = [f"run_{number}" for number in range(RUNS)]
    await asyncio.gather(*(stage.start(run_id, "claim", "token", 1.0) for run_id in run_ids))
    results = {run_id: output(await stage.ended(run_id)) for run_id in run_ids}
    [winner] = [run_id for run_id, result in results.items() if result == "mine"]
    assert {result for run_id, result in results.items() if run_id != winner} == {f"taken by {winner}"}
    await stage.store.stop()
    assert (await audit_file(stage.folder / "store.db")).findings == []


async def test_a_token_passes_from_run_to_run_at_once_without_a_conflict(stage: Stage) -> None:
    await stage.runtime()
    for number in range(RUNS):
        await stage.start(f"run_{number}", "claim", "token", 0.0)
        assert output(await stage.ended(f"run_{number}")) == "mine"


async def test_a_value_sent_again_after_a_lost_reply_is_one_value(stage: Stage) -> None:
    await stage.runtime()
    await stage.start("run_1", "step_and_hook", str(stage.folder), "token")
    await stage.marked("gated")
    sends = (stage.calls.send("token", "value", request_id="value") for _ in range(3))
    answers = await asyncio.gather(*sends, return_exceptions=True)
    assert not any(isinstance(answer, HoldfastError) for answer in answers), answers
    stage.allow()
    log: list[Event] = await stage.ended("run_1")
    assert sum(event.HasField("hook_received") for event in log) == 1


async def test_a_resume_sent_again_to_another_runtime_is_one_value_even_when_the_hook_is_gone(stage: Stage) -> None:
    # (1) The value is accepted; (2) the answer is lost with its runtime; (3) the run takes it, closes the hook and
    # ends, and another run opens one with the token; (4) the sender tries again, elsewhere.
    first, second = [await stage.runtime() for _ in range(2)]
    request = runtime_service_pb2.ResumeHookRequest(token="token", request_id="once")
    request.payload.text = '"value"'
    await stage.start("run_1", "first_value", "token")
    await eventually(lambda: _is_open(stage, "run_1"), "the hook was not opened")
    answer = await _resume(first.address, request)
    await stage.ended("run_1")
    await first.kill()
    assert (await _resume(second.address, request)).event.event_id == answer.event.event_id
    await stage.start("run_2", "first_value", "token")
    await eventually(lambda: _is_open(stage, "run_2"), "the hook was not opened")
    again = await _resume(second.address, request)
    assert again.deduplicated
    assert again.event.event_id == answer.event.event_id
    assert not any(event.HasField("hook_received") for event in await stage.calls.log("run_2"))


async def _resume(
    address: str, request: runtime_service_pb2.ResumeHookRequest
) -> runtime_service_pb2.ResumeHookResponse:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = runtime_service_pb2_grpc.RuntimeServiceStub(channel)
        answer: runtime_service_pb2.ResumeHookResponse = await stub.ResumeHook(request)
        return answer
