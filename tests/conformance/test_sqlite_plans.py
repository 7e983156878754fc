"""SQLite: every statement goes through an index, and the queue's stay cheap however much has piled up."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from store_service.engines.contract import Engine, EntityKind, EntityQuery, RunQuery, Transaction
from store_service.engines.sql import lists
from store_service.engines.sqlite import open_sqlite, statements
from store_service.engines.sqlite.statements import COMMON
from tests.conformance import samples

STATEMENTS = {
    name: text for name, text in (vars(COMMON) | vars(statements)).items() if name.isupper() and isinstance(text, str)
}
AFTER_RUN = (1_000, "run_a")
AFTER_ENTITY = (1_000, "run_a", "step_a")

RUN_LISTS = {
    "all": (RunQuery(limit=9), "runs_by_creation"),
    "page": (RunQuery(limit=9, after=AFTER_RUN), "runs_by_creation"),
    "ascending": (RunQuery(limit=9, descending=False, after=AFTER_RUN), "runs_by_creation"),
    "between": (RunQuery(limit=9, create_from_ms=1, create_until_ms=2), "runs_by_creation"),
    "workflow": (RunQuery(limit=9, workflow_name="w", after=AFTER_RUN), "runs_by_workflow"),
    "status": (RunQuery(limit=9, statuses=(2,), after=AFTER_RUN), "runs_by_status"),
    "parent": (RunQuery(limit=9, parent_run_id="run_p", after=AFTER_RUN), "runs_by_parent"),
    "page of a window": (RunQuery(limit=9, create_from_ms=1, create_until_ms=2, after=AFTER_RUN), "runs_by_creation"),
    "workflow and status": (RunQuery(limit=9, workflow_name="w", statuses=(2,), after=AFTER_RUN), "runs_by_workflow"),
    "parent and status": (RunQuery(limit=9, parent_run_id="run_p", statuses=(2,), after=AFTER_RUN), "runs_by_parent"),
    "attributes": (RunQuery(limit=9, attributes={"a": "1", "b": "2"}), "attributes USING PRIMARY KEY"),
    "page of attributes": (RunQuery(limit=9, attributes={"a": "1"}, after=AFTER_RUN), "attributes USING PRIMARY KEY"),
    "attributes, few of the runs": (
        RunQuery(limit=9, attributes={"a": "1"}, statuses=(2,), workflow_name="w", parent_run_id="run_p"),
        "attributes USING PRIMARY KEY",
    ),
    "attribute and the rest": (
        RunQuery(limit=9, attributes={"a": "1"}, workflow_name="w", statuses=(2,), create_from_ms=1, after=AFTER_RUN),
        "attributes USING PRIMARY KEY",
    ),
}
ENTITY_LISTS = {
    "steps of a run": (EntityQuery(EntityKind.STEP, 9, "run_a", AFTER_ENTITY), "entities_by_creation"),
    "hooks of a run": (EntityQuery(EntityKind.HOOK, 9, "run_a", AFTER_ENTITY), "entities_by_creation"),
    "all hooks": (EntityQuery(EntityKind.HOOK, 9), "hooks_by_creation"),
    "page of all hooks": (EntityQuery(EntityKind.HOOK, 9, after=AFTER_ENTITY), "hooks_by_creation"),
    "waits of a run": (EntityQuery(EntityKind.WAIT, 9, "run_a", AFTER_ENTITY), "run_id=?"),
    "all waits": (EntityQuery(EntityKind.WAIT, 9), "waits_by_due"),
    "due waits": (EntityQuery(EntityKind.WAIT, 9, after=AFTER_ENTITY, due_until_ms=5), "waits_by_due"),
}
#: Statements that sort: only the messages of one group, whose order there is another one.
SORTING = {"MESSAGES_OF_GROUP"}


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    engine = await open_sqlite(str(tmp_path / "holdfast.db"))
    yield engine
    await engine.close()


async def plan(engine: Engine, text: str, parameters: list[object] | None = None) -> list[str]:
    values = [None] * text.count("?") if parameters is None else parameters
    found = await engine._writer.run(lambda session: session.all(f"EXPLAIN QUERY PLAN {text}", values))
    return [detail for *_, detail in found]


def scans(details: list[str]) -> list[str]:
    return [detail for detail in details if detail.startswith("SCAN") and "INDEX" not in detail]


async def test_the_check_for_scans_sees_one(engine: Engine) -> None:
    assert scans(await plan(engine, "SELECT * FROM events WHERE kind = ?"))


@pytest.mark.parametrize("name", sorted(STATEMENTS))
async def test_no_statement_scans_a_table_or_sorts_one(engine: Engine, name: str) -> None:
    details = await plan(engine, STATEMENTS[name])
    assert not scans(details), details
    assert name in SORTING or not any("TEMP B-TREE" in detail for detail in details), details


@pytest.mark.parametrize("name", sorted(RUN_LISTS))
async def test_each_list_of_runs_goes_through_its_index(engine: Engine, name: str) -> None:
    query, index = RUN_LISTS[name]
    for text, parameters in lists.runs(COMMON.dialect, query, lists.leaders(query)[-1]):
        details = await plan(engine, text, parameters)
        assert not scans(details), details
        assert index in details[0], details
        assert not any("TEMP B-TREE" in detail for detail in details), details


@pytest.mark.parametrize("name", sorted(RUN_LISTS))
async def test_runs_are_counted_along_an_index(engine: Engine, name: str) -> None:
    query, _ = RUN_LISTS[name]
    for leader in lists.leaders(query) if len(lists.leaders(query)) > 1 else ():
        for text, parameters in lists.more_than(COMMON.dialect, query, leader, 9):
            details = await plan(engine, text, parameters)
            assert details[0].startswith("SEARCH"), details


@pytest.mark.parametrize("name", sorted(ENTITY_LISTS))
async def test_each_list_of_entities_goes_through_its_index(engine: Engine, name: str) -> None:
    query, index = ENTITY_LISTS[name]
    details = await plan(engine, *lists.entities(COMMON.dialect, query))
    assert not scans(details), details
    assert index in details[0], details
    assert name == "waits of a run" or not any("TEMP B-TREE" in detail for detail in details), details


@pytest.mark.parametrize("descending", [False, True])
async def test_a_page_of_a_log_is_one_range_of_its_index(engine: Engine, descending: bool) -> None:
    text, parameters = lists.events(
        COMMON.dialect,
        "run_a",
        after_seq=5,
        before_seq=None,
        limit=9,
        descending=descending,
        kinds=(1,),
        entity_id="s",
    )
    (detail,) = await plan(engine, text, parameters)
    assert re.search(r"INDEX sqlite_autoindex_events_1 \(run_id=\? AND seq>\? AND seq<\?\)", detail), detail


async def steps_of_sqlite(engine: Engine, unit: Callable[[Transaction], object]) -> int:
    """Return how many hundred steps SQLite's machine takes for a unit: work, not time."""
    count = 0

    def tick() -> int:
        nonlocal count
        count += 1
        return 0

    await engine._writer.run(lambda session: session._connection.set_progress_handler(tick, 100))
    await engine.write(unit)
    await engine._writer.run(lambda session: session._connection.set_progress_handler(None, 0))
    return count


async def test_claims_stay_cheap_beside_100_000_delayed_messages(engine: Engine) -> None:
    def pile_up(tx: Transaction) -> None:
        for number in range(100_000):
            tx.insert_message(samples.message(f"delayed{number}", deliver_ms=10**12 + number))
        for number in range(5):
            tx.insert_message(samples.message(f"due{number}", deliver_ms=500, priority=-number))

    def claim(tx: Transaction) -> None:
        assert [row.message_id for row in tx.deliverable("runs", 1_000, 3)] == ["due0", "due1", "due2"]
        assert tx.next_ready_ms("runs", 1_000) == 10**12
        assert tx.expired_leases("runs", 1_000, 10) == []

    await engine.write(pile_up)
    assert await steps_of_sqlite(engine, lambda tx: tx.queue_counts("runs", 0)) > 1_000, "the measure sees a scan"
    assert await steps_of_sqlite(engine, claim) < 20


async def test_claims_and_sends_stay_cheap_beside_a_pile_of_one_blocked_group(engine: Engine) -> None:
    def pile_up(tx: Transaction) -> None:
        first = tx.insert_message(samples.message("first", group="blocked"))
        tx.put_message(samples.leased(first, "rcp"))
        for number in range(5_000):
            tx.insert_message(samples.message(f"blocked{number}", group="blocked", deliver_ms=1))
        tx.insert_message(samples.message("free", group="other", deliver_ms=900))

    def claim(tx: Transaction) -> None:
        assert [row.message_id for row in tx.deliverable("runs", 1_000, 3)] == ["free"]

    def settle(tx: Transaction) -> None:
        tx.delete_message("first")
        assert [row.message_id for row in tx.deliverable("runs", 1_000, 3)] == ["blocked0", "free"]

    await engine.write(pile_up)
    assert await steps_of_sqlite(engine, claim) < 20
    assert await steps_of_sqlite(engine, settle) < 20
    assert await steps_of_sqlite(engine, lambda tx: tx.insert_message(samples.message(group="blocked"))) < 20
