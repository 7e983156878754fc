"""Conformance: messages, leases, groups and what may be delivered."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from store_service.engines.contract import Engine, MessageQuery, MessageRow, QueueCounts, Transaction
from tests.conformance import samples

NOW = 10_000


async def insert(engine: Engine, *rows: MessageRow) -> list[MessageRow]:
    return await engine.write(lambda tx: [tx.insert_message(row) for row in rows])


async def put(engine: Engine, *rows: MessageRow) -> None:
    await engine.write(lambda tx: [tx.put_message(row) for row in rows])


async def deliverable(engine: Engine, limit: int = 10, now_ms: int = NOW) -> list[str]:
    found = await engine.write(lambda tx: tx.deliverable("runs", now_ms, limit))
    return [row.message_id for row in found]


async def test_a_message_comes_back_with_its_number(engine: Engine) -> None:
    row = samples.message(key="k", group="g", priority=-3, deliver_ms=7, last_reason="why", body=b"\x00")
    first, second = await insert(engine, row, samples.message("msg_b"))
    assert first == replace(row, number=first.number)
    assert second.number > first.number > 0
    assert await engine.read(lambda tx: tx.message("msg_a")) == first
    assert await engine.read(lambda tx: tx.message("msg_x")) is None


async def test_a_message_is_replaced_and_deleted(engine: Engine) -> None:
    (row,) = await insert(engine, samples.message())
    dead = replace(row, state=samples.DEAD, last_reason="too often", delivery_count=20, priority=4, deliver_ms=5)
    await put(engine, dead)
    assert await engine.read(lambda tx: tx.message("msg_a")) == dead
    await engine.write(lambda tx: tx.delete_message("msg_a"))
    assert await engine.read(lambda tx: tx.message("msg_a")) is None


async def test_putting_an_unknown_message_is_an_error(engine: Engine) -> None:
    with pytest.raises(LookupError, match="msg_x"):
        await put(engine, samples.message("msg_x"))


@pytest.mark.parametrize("bad", [{"priority": 101}, {"receipt": "r"}, {"state": 2}, {"lease_expire_ms": 5}])
async def test_a_lease_and_its_receipt_exist_together_or_not_at_all(engine: Engine, bad: dict[str, int]) -> None:
    with pytest.raises(Exception, match="constraint"):
        await insert(engine, samples.message(**bad))


async def test_messages_are_listed_by_number_with_filters(engine: Engine) -> None:
    rows = await insert(
        engine,
        samples.message("m1", group="g"),
        samples.message("m2", state=samples.DEAD),
        samples.message("m3", group="g", deliver_ms=1),
        samples.message("m4", queue="other"),
    )

    async def listed(**filters: object) -> list[str]:
        query = MessageQuery(**{"queue": "runs", "limit": 10, **filters})
        return [row.message_id for row in await engine.read(lambda tx: tx.messages(query))]

    assert await listed() == ["m1", "m2", "m3"]
    assert await listed(limit=2) == ["m1", "m2"]
    assert await listed(after_number=rows[0].number) == ["m2", "m3"]
    assert await listed(states=(samples.DEAD,)) == ["m2"]
    assert await listed(states=(samples.DEAD, samples.READY), limit=2) == ["m1", "m2"]
    assert await listed(group="g") == ["m1", "m3"]
    assert await listed(queue="none") == []


async def test_a_receipt_finds_its_message_while_leased_only(engine: Engine) -> None:
    (row,) = await insert(engine, samples.message())
    lease = samples.leased(row, "rcp_1")
    await put(engine, lease)
    assert await engine.read(lambda tx: tx.leased_message("rcp_1")) == lease
    assert await engine.read(lambda tx: tx.leased_message("rcp_2")) is None
    await put(engine, samples.released(lease))
    assert await engine.read(lambda tx: tx.leased_message("rcp_1")) is None
    assert await engine.read(lambda tx: tx.leased_message("")) is None


async def test_a_settled_receipt_is_remembered(engine: Engine) -> None:
    await engine.write(lambda tx: tx.settle("rcp_1", 500))
    assert await engine.read(lambda tx: tx.settled_until("rcp_1")) == 500
    assert await engine.read(lambda tx: tx.settled_until("rcp_2")) is None


async def test_a_key_finds_the_oldest_waiting_message_of_its_queue(engine: Engine) -> None:
    first, _, _ = await insert(
        engine,
        samples.message("m1", key="wake"),
        samples.message("m2", key="wake", deliver_ms=5),
        samples.message("m3", key="wake", queue="other"),
    )

    async def waiting() -> str | None:
        found = await engine.read(lambda tx: tx.waiting_message("runs", "wake"))
        return found and found.message_id

    assert await waiting() == "m1"
    await put(engine, samples.leased(first, "rcp"))
    assert await waiting() == "m2"
    assert await engine.read(lambda tx: tx.waiting_message("runs", "")) is None


async def test_counts_split_ready_delayed_leased_and_dead(engine: Engine) -> None:
    rows = await insert(
        engine,
        samples.message("m1", deliver_ms=NOW),
        samples.message("m2", deliver_ms=NOW - 7),
        samples.message("m3", deliver_ms=NOW + 1),
        samples.message("m4"),
        samples.message("m5", state=samples.DEAD),
    )
    await put(engine, samples.leased(rows[3], "rcp"))
    counts = await engine.read(lambda tx: tx.queue_counts("runs", NOW))
    assert counts == QueueCounts("runs", ready=2, delayed=1, leased=1, dead=1, oldest_ready_ms=NOW - 7)
    assert await engine.read(lambda tx: tx.queue_counts("never", NOW)) is None


async def test_a_queue_stays_known_when_it_is_empty_again(engine: Engine) -> None:
    await insert(engine, samples.message("m1", queue="b"), samples.message("m2", queue="a"))
    await engine.write(lambda tx: tx.delete_message("m1"))
    assert await engine.read(lambda tx: tx.queue_names(after="", limit=10)) == ["a", "b"]
    assert await engine.read(lambda tx: tx.queue_names(after="a", limit=10)) == ["b"]
    assert await engine.read(lambda tx: tx.queue_names(after="", limit=1)) == ["a"]
    counts = await engine.read(lambda tx: tx.queue_counts("b", NOW))
    assert counts == QueueCounts("b", ready=0, delayed=0, leased=0, dead=0, oldest_ready_ms=None)


async def test_delivery_goes_by_priority_then_due_time_then_sending(engine: Engine) -> None:
    await insert(
        engine,
        samples.message("late", deliver_ms=9),
        samples.message("second", deliver_ms=5),
        samples.message("third", deliver_ms=5),
        samples.message("low", priority=-1, deliver_ms=1),
        samples.message("high", priority=1, deliver_ms=NOW),
        samples.message("delayed", priority=100, deliver_ms=NOW + 1),
        samples.message("elsewhere", queue="other"),
    )
    assert await deliverable(engine) == ["high", "second", "third", "late", "low"]
    assert await deliverable(engine, limit=2) == ["high", "second"]
    assert await deliverable(engine, now_ms=NOW + 1, limit=1) == ["delayed"]


async def test_a_group_hands_out_one_message_at_a_time(engine: Engine) -> None:
    rows = await insert(
        engine,
        samples.message("a1", group="a", deliver_ms=5),
        samples.message("a2", group="a", deliver_ms=4),
        samples.message("b1", group="b", deliver_ms=6),
        samples.message("free", deliver_ms=7),
    )
    assert await deliverable(engine) == ["a2", "b1", "free"]
    await put(engine, lease := samples.leased(rows[1], "rcp"))
    assert await deliverable(engine) == ["b1", "free"]
    await put(engine, samples.released(lease))
    assert await deliverable(engine) == ["a2", "b1", "free"]
    await put(engine, lease)
    await engine.write(lambda tx: tx.delete_message("a2"))
    assert await deliverable(engine) == ["a1", "b1", "free"]


async def test_a_lease_blocks_its_group_in_its_own_queue_only(engine: Engine) -> None:
    rows = await insert(engine, samples.message("m1", group="g", queue="other"), samples.message("m2", group="g"))
    await put(engine, samples.leased(rows[0], "rcp"))
    assert await deliverable(engine) == ["m2"]


async def test_a_delayed_message_blocks_nobody_of_its_group(engine: Engine) -> None:
    await insert(
        engine,
        samples.message("delayed", group="g", priority=5, deliver_ms=NOW + 1),
        samples.message("due", group="g", priority=0),
        samples.message("dead", group="g", priority=9, state=samples.DEAD),
    )
    assert await deliverable(engine) == ["due"]
    assert await deliverable(engine, now_ms=NOW + 1) == ["delayed"]


async def test_a_group_of_several_priorities_shows_its_best_message_only(engine: Engine) -> None:
    await insert(
        engine,
        *(samples.message(f"g{priority}", group="g", priority=priority) for priority in (1, 3, 2)),
        samples.message("free", priority=-1),
        samples.message("h", group="h", priority=2),
    )
    assert await deliverable(engine) == ["g3", "h", "free"]
    assert await deliverable(engine, limit=2) == ["g3", "h"]


async def test_expired_leases_are_found_at_their_very_end(engine: Engine) -> None:
    rows = await insert(engine, samples.message("m1"), samples.message("m2"), samples.message("m3"))
    ends = [NOW, NOW - 1, NOW + 1]
    await put(engine, *(samples.leased(row, f"rcp {end}", until_ms=end) for row, end in zip(rows, ends, strict=True)))
    found = await engine.write(lambda tx: tx.expired_leases("runs", NOW, 10))
    assert [row.message_id for row in found] == ["m2", "m1"]
    assert len(await engine.write(lambda tx: tx.expired_leases("runs", NOW, 1))) == 1
    assert await engine.write(lambda tx: tx.expired_leases("other", NOW, 10)) == []


async def test_next_ready_is_the_earliest_lease_end_or_future_due_time(engine: Engine) -> None:
    async def next_ready(now_ms: int = NOW) -> int | None:
        return await engine.write(lambda tx: tx.next_ready_ms("runs", now_ms))

    assert await next_ready() is None
    (due, *_) = await insert(engine, samples.message("due"), samples.message("later", deliver_ms=NOW + 9))
    assert await next_ready() == NOW + 9
    await insert(engine, samples.message("high", priority=3, deliver_ms=NOW + 5))
    assert await next_ready() == NOW + 5
    await put(engine, samples.leased(due, "rcp", until_ms=NOW + 2))
    assert await next_ready() == NOW + 2
    assert await next_ready(NOW + 6) == NOW + 2, "a lease that is over already counts: it can be taken now"


def naive_deliverable(rows: Sequence[MessageRow], now_ms: int, limit: int) -> list[str]:
    blocked = {row.group for row in rows if row.group and row.state == samples.LEASED}
    ready = [row for row in rows if row.state == samples.READY and row.deliver_ms <= now_ms]
    ready.sort(key=lambda row: (-row.priority, row.deliver_ms, row.number))
    chosen: list[str] = []
    for row in ready:
        if row.group not in blocked:
            chosen.append(row.message_id)
        if row.group:
            blocked.add(row.group)
    return chosen[:limit]


@pytest.mark.parametrize("seed", range(3))
async def test_deliverable_agrees_with_its_definition_in_any_history(engine: Engine, seed: int) -> None:
    chance = random.Random(seed)

    def unit(tx: Transaction) -> None:
        rows: dict[str, MessageRow] = {}
        for turn in range(400):
            row = chance.choice(list(rows.values())) if rows else None
            action = chance.choice(["insert", "insert", "lease", "release", "delay", "dead", "delete"])
            if row is None or action == "insert":
                row = samples.message(
                    f"m{turn}",
                    group=chance.choice(["", "a", "b", "c"]),
                    priority=chance.randint(-1, 1),
                    deliver_ms=chance.randint(NOW - 3, NOW + 3),
                )
                rows[row.message_id] = tx.insert_message(row)
            elif action == "delete":
                tx.delete_message(rows.pop(row.message_id).message_id)
            else:
                changed = {
                    "lease": samples.leased(row, f"rcp{turn}"),
                    "release": samples.released(row),
                    "delay": replace(samples.released(row), deliver_ms=chance.randint(NOW - 3, NOW + 3)),
                    "dead": replace(samples.released(row), state=samples.DEAD),
                }[action]
                tx.put_message(changed)
                rows[row.message_id] = changed
            now_ms, limit = chance.randint(NOW - 4, NOW + 4), chance.randint(1, 6)
            found = [row.message_id for row in tx.deliverable("runs", now_ms, limit)]
            assert found == naive_deliverable(list(rows.values()), now_ms, limit), f"seed {seed}, turn {turn}"

    await engine.write(unit)
