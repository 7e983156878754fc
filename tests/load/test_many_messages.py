"""A queue with a hundred thousand messages is as quick as a short one; a run is told a thousand things a second.

Compared with the same on this machine at this moment, never with a number of milliseconds.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from pathlib import Path

from holdfast import Client, hook, workflow
from holdfast.v1 import event_pb2, store_service_pb2
from store_service.rules import queue
from tests.support.queue_bench import Bench, new_message
from tests.support.runtime import running_runtime
from tests.support.store import Store, running_store

#: Messages of a long queue and of a short one; HOLDFAST_MESSAGES=100000 for the promised number.
MESSAGES = int(os.environ.get("HOLDFAST_MESSAGES", "5000"))
SHORT = 500
CLAIMS = 60

#: Facts that one run is told, as fast as the store takes them.
FACTS = int(os.environ.get("HOLDFAST_FACTS", "2000"))
FACTS_PER_CALL = 50

NOW_MS = 2_000_000_000_000


async def test_claims_from_a_long_queue_are_as_fast_as_from_a_short_one(tmp_path: Path) -> None:
    async with running_store(tmp_path / "store.db") as store:
        bench = Bench(store.engine, NOW_MS)
        await _fill(store, SHORT)
        short = await _claims(bench)
        await _fill(store, MESSAGES)
        long = await _claims(bench)
    print(f"a claim and its settling: {short * 1000:.2f} ms of {SHORT}, {long * 1000:.2f} ms of {MESSAGES}")
    assert long < 3 * short


async def _fill(store: Store, count: int) -> None:
    for begin in range(0, count, 1000):
        messages = [
            new_message(f"{begin + number}", group=f"group_{(begin + number) % 5000}", priority=number % 3)
            for number in range(min(1000, count - begin))
        ]
        await store.engine.write(lambda tx, some=messages: [queue.enqueue(tx, it, NOW_MS) for it in some])


async def _claims(bench: Bench) -> float:
    """Return the median of the seconds that a claim and its acknowledgement take."""
    took = []
    for _ in range(CLAIMS):
        began = time.perf_counter()
        leased = await bench.claim_one()
        await bench.ack(leased.receipt)
        took.append(time.perf_counter() - began)
    return statistics.median(took)


@workflow(name="load.counts")
async def counts(token: str, facts: int) -> list[int]:
    """Takes so many values and returns them."""
    async with hook(int, token=token) as values:
        return [await values for _ in range(facts)]


async def test_a_run_that_is_told_a_thousand_facts_a_second_takes_them_all_in_order(store: Store) -> None:
    async with running_runtime(store.address, counts, lease="5s") as runtime, Client(runtime.address) as client:
        run = await client.start("load.counts", "hot", FACTS)
        hook_id = await _hook_id(store, run.id)
        began = time.perf_counter()
        for begin in range(0, FACTS, FACTS_PER_CALL):
            await store.client.events.CreateEvents(_facts(run.id, hook_id, range(begin, begin + FACTS_PER_CALL)))
        told = time.perf_counter()
        assert await run.result(timeout="60s") == list(range(FACTS))
        taken = time.perf_counter()
    print(f"{FACTS} facts: {FACTS / (told - began):.0f} a second, all taken {taken - told:.2f} s after the last")


def _facts(run_id: str, hook_id: str, numbers: range) -> store_service_pb2.CreateEventsRequest:
    events = []
    for number in numbers:
        event = event_pb2.Event(correlation_id=hook_id)
        event.hook_received.payload.text = str(number)
        events.append(event)
    return store_service_pb2.CreateEventsRequest(run_id=run_id, events=events)


async def _hook_id(store: Store, run_id: str) -> str:
    while True:
        answer = await store.client.events.ListHooks(store_service_pb2.ListHooksRequest(run_id=run_id))
        if answer.hooks:
            return str(answer.hooks[0].hook_id)
        await asyncio.sleep(0.02)
