"""Conformance: the log of a run, and the events of every run in commit order."""

from __future__ import annotations

import asyncio

import pytest

from store_service.engines.contract import Engine, EventRow
from tests.conformance import samples


async def seqs(engine: Engine, **filters: object) -> list[int]:
    found = await engine.read(lambda tx: tx.events("run_a", **{"limit": 100, **filters}))
    return [row.seq for row in found]


@pytest.fixture
async def five_events(engine: Engine) -> Engine:
    def unit(tx: object) -> None:
        for seq, kind, entity_id in [(1, 1, ""), (2, 7, "s1"), (3, 7, "s2"), (4, 8, "s1"), (5, 9, "s2")]:
            tx.insert_event(samples.event(seq=seq, kind=kind, entity_id=entity_id, at=seq * 10))
        tx.insert_event(samples.event("run_b", at=25))

    await engine.write(unit)
    return engine


async def test_an_event_comes_back_as_it_was_inserted(engine: Engine) -> None:
    row = EventRow("run_a", 1, "evt_x", 2**53, 12, "hook_a", bytes(range(256)), bytes(range(16)))
    await engine.write(lambda tx: tx.insert_event(row))
    assert await engine.read(lambda tx: tx.event("run_a", 1)) == row
    assert await engine.read(lambda tx: tx.event("run_a", 2)) is None
    assert await engine.read(lambda tx: tx.event("run_b", 1)) is None


async def test_a_seq_is_taken_once(five_events: Engine) -> None:
    with pytest.raises(Exception, match=r"run_id, (events\.)?seq"):
        await five_events.write(lambda tx: tx.insert_event(samples.event(seq=3)))
    assert await seqs(five_events) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("bad", [{"seq": 0}, {"at": -1}, {"kind": 0}])
async def test_constraints_repeat_the_rules(engine: Engine, bad: dict[str, int]) -> None:
    with pytest.raises(Exception, match="constraint"):
        await engine.write(lambda tx: tx.insert_event(samples.event(**bad)))
    assert await engine.read(lambda tx: tx.last_position()) == 0


async def test_bounds_of_a_page_are_exclusive(five_events: Engine) -> None:
    assert await seqs(five_events) == [1, 2, 3, 4, 5]
    assert await seqs(five_events, after_seq=2) == [3, 4, 5]
    assert await seqs(five_events, before_seq=3) == [1, 2]
    assert await seqs(five_events, after_seq=1, before_seq=5, limit=2) == [2, 3]
    assert await seqs(five_events, after_seq=5) == []


async def test_a_descending_page_begins_at_the_end(five_events: Engine) -> None:
    assert await seqs(five_events, descending=True, limit=2) == [5, 4]
    assert await seqs(five_events, descending=True, before_seq=4) == [3, 2, 1]


async def test_events_are_filtered_by_kind_and_entity(five_events: Engine) -> None:
    assert await seqs(five_events, kinds=[7]) == [2, 3]
    assert await seqs(five_events, kinds=[1, 9]) == [1, 5]
    assert await seqs(five_events, entity_id="s1") == [2, 4]
    assert await seqs(five_events, entity_id="s1", kinds=[8], descending=True) == [4]


@pytest.mark.parametrize(("at", "seq"), [(9, 0), (10, 1), (25, 2), (30, 3), (49, 4), (50, 5), (2**60, 5)])
async def test_seq_at_names_the_newest_event_not_above_a_time(five_events: Engine, at: int, seq: int) -> None:
    assert await five_events.read(lambda tx: tx.seq_at("run_a", at)) == seq
    assert await five_events.read(lambda tx: tx.seq_at("run_x", at)) == 0


async def test_events_of_every_run_come_in_commit_order(five_events: Engine) -> None:
    found = await five_events.read(lambda tx: tx.all_events(after_position=0, limit=100))
    assert [position for position, _ in found] == [1, 2, 3, 4, 5, 6]
    assert found[-1] == (6, samples.event("run_b", at=25))
    rest = await five_events.read(lambda tx: tx.all_events(after_position=4, limit=1))
    assert [(position, row.seq) for position, row in rest] == [(5, 5)]
    assert await five_events.read(lambda tx: tx.last_position()) == 6


async def test_an_empty_store_has_position_zero(engine: Engine) -> None:
    assert await engine.read(lambda tx: tx.last_position()) == 0
    assert await engine.read(lambda tx: tx.all_events(after_position=0, limit=1)) == []


async def test_positions_rise_in_the_order_of_acknowledgement(engine: Engine) -> None:
    acknowledged: list[str] = []

    async def append(run_id: str) -> None:
        await engine.write(lambda tx: tx.insert_event(samples.event(run_id)))
        acknowledged.append(run_id)

    await asyncio.gather(*(append(f"run_{number}") for number in range(300)))
    found = await engine.read(lambda tx: tx.all_events(after_position=0, limit=1_000))
    assert [position for position, _ in found] == list(range(1, 301))
    assert [row.run_id for _, row in found] == acknowledged
