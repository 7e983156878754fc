"""Claims of several replicas on one queue: a group hands out one message at a time, and nothing waits for ever."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter

from holdfast.v1 import queue_service_pb2
from store_service.engines.contract import Engine, Transaction
from store_service.rules import leases, queue
from tests.postgres.conftest import OpenReplica
from tests.rules import book as write
from tests.rules.book import NOW

LEASE_MS = 30_000
DEADLINE_S = 20
RELEASE = leases.GiveBack(action=queue_service_pb2.NACK_ACTION_RELEASE)


async def claim(engine: Engine, limit: int = 3) -> list[queue_service_pb2.LeasedMessage]:
    return await engine.write(lambda tx: queue.claim(tx, ["mail"], limit, LEASE_MS, NOW))


async def test_a_group_is_never_in_two_hands_and_every_message_is_delivered(replica: OpenReplica) -> None:
    engines = [await replica() for _ in range(3)]
    groups = [f"group_{number}" for number in range(4)]
    in_hand: Counter[str] = Counter()
    delivered: Counter[str] = Counter()
    to_send = 120

    async def send() -> None:
        for number in range(to_send):
            message = write.message(group=groups[number % 4], priority=number % 3)
            await engines[number % 3].write(lambda tx, message=message: queue.enqueue(tx, message, NOW))

    async def consume(engine: Engine, give_back: bool) -> None:
        while sum(delivered.values()) < to_send:
            for message in await claim(engine):
                group = message.message.group
                in_hand[group] += 1
                assert in_hand[group] == 1, f"{group} was handed out twice at once"
                await asyncio.sleep(0)
                in_hand[group] -= 1
                if give_back and message.message.delivery_count == 1 and len(delivered) % 5 == 0:
                    await engine.write(lambda tx, it=message: leases.nack_many(tx, [it.receipt], RELEASE, NOW))
                    continue
                (result,) = await engine.write(lambda tx, it=message: leases.ack_many(tx, [it.receipt], NOW))
                assert result.ok
                delivered[message.message.message_id] += 1

    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(send(), *(consume(engine, n == 0) for n, engine in enumerate(engines)))
    assert set(delivered.values()) == {1}
    assert len(delivered) == to_send


async def test_a_message_relied_on_is_not_handed_out_before_that_commits(replica: OpenReplica) -> None:
    """(1) A finds a wake-up waiting and sends none of its own; (2) B hands it out; (3) its consumer reads the log,
    without what A is about to commit; (4) A commits, and nobody wakes up for it. The lock of (1) stops (2)."""
    a, b = await replica(), await replica()
    await a.write(lambda tx: queue.enqueue(tx, write.message("wake"), NOW))
    relied, go_on = threading.Event(), threading.Event()

    def relying(tx: Transaction) -> tuple[str, bool]:
        answer = queue.enqueue(tx, write.message("wake"), NOW)
        relied.set()
        assert go_on.wait(DEADLINE_S)
        return answer

    sending = asyncio.ensure_future(a.write(relying))
    await asyncio.to_thread(relied.wait, DEADLINE_S)
    assert await claim(b) == []
    again_ms = await b.write(lambda tx: tx.next_ready_ms("mail", NOW))
    assert again_ms is not None and NOW < again_ms < NOW + 1_000, "b is told to look again soon"
    go_on.set()
    assert (await sending)[1], "it took the one that waited"
    assert len(await claim(b)) == 1


async def test_a_group_that_somebody_changes_is_passed_over_and_looked_at_again(replica: OpenReplica) -> None:
    a, b = await replica(), await replica()
    await a.write(lambda tx: queue.enqueue(tx, write.message(group="g"), NOW))
    changed, go_on = threading.Event(), threading.Event()

    def changing(tx: Transaction) -> None:
        queue.enqueue(tx, write.message(group="g"), NOW)
        changed.set()
        assert go_on.wait(DEADLINE_S)

    sending = asyncio.ensure_future(a.write(changing))
    await asyncio.to_thread(changed.wait, DEADLINE_S)
    assert await claim(b) == []
    assert await b.write(lambda tx: tx.next_ready_ms("mail", NOW)) == NOW + 20
    go_on.set()
    await sending
    assert len(await claim(b)) == 1
    assert await claim(a) == []


async def test_a_lease_under_which_something_is_written_is_not_taken_over(replica: OpenReplica) -> None:
    a, b = await replica(), await replica()
    await a.write(lambda tx: queue.enqueue(tx, write.message("k"), NOW))
    (mine,) = await claim(a)
    held, go_on = threading.Event(), threading.Event()

    def writing(tx: Transaction) -> None:
        leases.require_held(tx, mine.receipt, NOW)
        held.set()
        assert go_on.wait(DEADLINE_S)

    under_lease = asyncio.ensure_future(a.write(writing))
    await asyncio.to_thread(held.wait, DEADLINE_S)
    late_ms = NOW + LEASE_MS + 1
    assert await b.write(lambda tx: queue.claim(tx, ["mail"], 1, LEASE_MS, late_ms)) == []
    go_on.set()
    await under_lease
    (theirs,) = await b.write(lambda tx: queue.claim(tx, ["mail"], 1, LEASE_MS, late_ms))
    assert theirs.receipt != mine.receipt
