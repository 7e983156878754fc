"""DeleteRuns: many runs in one call, all of them allowed to go before any does."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.v1 import store_service_pb2 as api
from store_service.engines.contract import DeletedNote, Note
from tests.support.store import Store, add, create_run, refused, run_completed

#: More than are deleted in one unit of work.
MANY = [f"run_{number}" for number in range(45)]


async def ended_runs(store: Store) -> None:
    for run_id in MANY:
        await create_run(store.client, run_id)
        await add(store.client, run_id, run_completed())


async def runs_left(store: Store) -> int:
    return len((await store.client.events.ListRuns(api.ListRunsRequest(page_size=100))).runs)


async def test_an_open_run_among_many_keeps_all_of_them(store: Store) -> None:
    await ended_runs(store)
    await create_run(store.client, "open")
    with refused("ILLEGAL_TRANSITION"):
        await store.client.events.DeleteRuns(api.DeleteRunsRequest(run_ids=[*MANY, "open"]))
    assert await runs_left(store) == len(MANY) + 1


async def test_each_of_many_runs_is_deleted_and_counted_once(store: Store) -> None:
    await ended_runs(store)
    wanted = [*MANY, MANY[0], "unknown"]
    answer = await store.client.events.DeleteRuns(api.DeleteRunsRequest(run_ids=wanted))
    assert answer.deleted_count == len(MANY)
    assert await runs_left(store) == 0


async def test_many_runs_are_deleted_in_several_commits_so_that_appends_come_in_between(store: Store) -> None:
    await ended_runs(store)
    commits: list[int] = []

    def count(notes: Sequence[Note]) -> None:
        commits.append(sum(isinstance(note, DeletedNote) for note in notes))

    stop = store.running.parts.engine.listen(count)
    await store.client.events.DeleteRuns(api.DeleteRunsRequest(run_ids=MANY))
    stop()
    assert sum(commits) == len(MANY)
    assert max(commits) < len(MANY) / 2
