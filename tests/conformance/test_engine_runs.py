"""Conformance: runs, their attributes, and the lists of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from store_service.engines.contract import Engine, EventRow, RunQuery, RunRow
from tests.conformance import samples

CREATED = {"run_1": 100, "run_2": 200, "run_3": 200, "run_4": 300}


async def put_runs(engine: Engine, *rows: RunRow) -> None:
    await engine.write(lambda tx: [tx.put_run(row) for row in rows])


async def listed(engine: Engine, **filters: object) -> list[str]:
    query = RunQuery(**{"limit": 10, "descending": False, **filters})
    return [row.run_id for row in await engine.read(lambda tx: tx.runs(query))]


@pytest.fixture
async def four_runs(engine: Engine) -> Engine:
    await put_runs(engine, *(samples.run(run_id, create_ms=at) for run_id, at in CREATED.items()))
    return engine


async def test_a_run_comes_back_as_it_was_put(engine: Engine) -> None:
    row = samples.run(
        status=3,
        update_ms=4_000,
        expire_ms=9_000,
        parent_run_id="run_p",
        head_seq=9,
        head_at=2**53,
        out_of_band_at=7,
        out_of_band_seq=6,
        replay_seq=5,
        started_seq=2,
        terminal_seq=9,
        body=b"\x00\xff",
        head_checksum=b"\xff\x00",
    )
    await put_runs(engine, row)
    assert await engine.read(lambda tx: tx.run("run_a")) == row
    assert await engine.read(lambda tx: tx.run("run_b")) is None


async def test_put_run_replaces_every_column(engine: Engine) -> None:
    await put_runs(engine, samples.run())
    row = samples.run(
        workflow_name="other", create_ms=50, parent_run_id="run_p", head_seq=2, body=b"new", head_checksum=b"new"
    )
    await put_runs(engine, row)
    assert await engine.read(lambda tx: tx.run("run_a")) == row
    assert await listed(engine, workflow_name="other") == ["run_a"]
    assert await listed(engine, workflow_name="checkout") == []


@pytest.mark.parametrize("changed_state", [False, True])
async def test_put_head_moves_the_guard_and_leaves_the_body(engine: Engine, changed_state: bool) -> None:
    await put_runs(engine, samples.run(expire_ms=8_000, body=b"kept"))
    head = samples.run(
        update_ms=2_000,
        expire_ms=8_000,
        head_seq=5,
        head_at=3_000,
        out_of_band_at=2_500,
        out_of_band_seq=4,
        replay_seq=3,
        started_seq=2,
        head_checksum=b"moved",
        body=b"ignored",
    )
    if changed_state:
        head = replace(head, status=3, expire_ms=None, terminal_seq=5)
    await engine.write(lambda tx: tx.put_head(head))
    assert await engine.read(lambda tx: tx.run("run_a")) == replace(head, body=b"kept")


async def test_attributes_come_back_as_they_were_put(engine: Engine) -> None:
    await put_runs(engine, samples.run(), samples.run("run_b"))
    await engine.write(lambda tx: tx.put_attributes("run_a", {"stage": "paid", "customer": "42"}))
    await engine.write(lambda tx: tx.put_attributes("run_a", {"stage": "sent", "": ""}))
    assert await engine.read(lambda tx: tx.attributes("run_a")) == {"stage": "sent", "": ""}
    assert await engine.read(lambda tx: tx.attributes("run_b")) == {}


async def test_put_head_of_an_unknown_run_is_an_error(engine: Engine) -> None:
    with pytest.raises(LookupError, match="run_x"):
        await engine.write(lambda tx: tx.put_head(samples.run("run_x")))


async def test_runs_are_listed_by_creation_in_both_directions(four_runs: Engine) -> None:
    assert await listed(four_runs) == ["run_1", "run_2", "run_3", "run_4"]
    assert await listed(four_runs, descending=True) == ["run_4", "run_3", "run_2", "run_1"]


@pytest.mark.parametrize("descending", [False, True])
async def test_pages_of_runs_join_without_hole_or_double(four_runs: Engine, descending: bool) -> None:
    seen: list[str] = []
    after = None
    for _ in range(len(CREATED)):
        query = RunQuery(limit=1, descending=descending, after=after)
        (row,) = await four_runs.read(lambda tx, query=query: tx.runs(query))
        seen.append(row.run_id)
        after = (row.create_ms, row.run_id)
    assert seen == sorted(CREATED, reverse=descending)
    assert await listed(four_runs, descending=descending, after=after) == []


async def test_several_statuses_are_merged_into_one_order(engine: Engine) -> None:
    statuses = {"run_1": 3, "run_2": 4, "run_3": 2, "run_4": 3}
    await put_runs(engine, *(samples.run(name, create_ms=CREATED[name], status=statuses[name]) for name in statuses))
    assert await listed(engine, statuses=(4, 3)) == ["run_1", "run_2", "run_4"]
    assert await listed(engine, statuses=(3, 4, 3), limit=2, descending=True) == ["run_4", "run_2"]
    assert await listed(engine, statuses=(5,)) == []


async def test_creation_bounds_include_the_first_and_exclude_the_last(four_runs: Engine) -> None:
    assert await listed(four_runs, create_from_ms=200) == ["run_2", "run_3", "run_4"]
    assert await listed(four_runs, create_until_ms=200) == ["run_1"]
    assert await listed(four_runs, create_from_ms=200, create_until_ms=300) == ["run_2", "run_3"]


async def test_children_are_found_by_their_parent(engine: Engine) -> None:
    await put_runs(engine, samples.run("run_1"), samples.run("run_2", parent_run_id="run_1"))
    assert await listed(engine, parent_run_id="run_1") == ["run_2"]


async def test_attributes_filter_runs_that_have_all_of_them(four_runs: Engine) -> None:
    def unit(tx: object) -> None:
        tx.put_attributes("run_1", {"customer": "42", "stage": "paid"})
        tx.put_attributes("run_2", {"customer": "42", "stage": "new"})
        tx.put_attributes("run_3", {"customer": "43", "stage": "paid"})

    await four_runs.write(unit)
    assert await listed(four_runs, attributes={"customer": "42"}) == ["run_1", "run_2"]
    assert await listed(four_runs, attributes={"stage": "paid", "customer": "42"}) == ["run_1"]
    assert await listed(four_runs, attributes={"customer": "42"}, statuses=(2,), limit=1) == ["run_1"]
    assert await listed(four_runs, attributes={"customer": "paid"}) == []


async def test_put_attributes_replaces_what_was_there(four_runs: Engine) -> None:
    await four_runs.write(lambda tx: tx.put_attributes("run_1", {"stage": "new", "customer": "42"}))
    await four_runs.write(lambda tx: tx.put_attributes("run_1", {"stage": "paid"}))
    assert await listed(four_runs, attributes={"customer": "42"}) == []
    assert await listed(four_runs, attributes={"stage": "paid"}) == ["run_1"]


async def test_only_open_runs_expire_and_in_order_of_their_time(engine: Engine) -> None:
    await put_runs(
        engine,
        samples.run("run_1", expire_ms=500),
        samples.run("run_2", expire_ms=400),
        samples.run("run_3", expire_ms=300, terminal_seq=1, status=3),
        samples.run("run_4", expire_ms=501),
        samples.run("run_5"),
    )
    assert await engine.read(lambda tx: tx.next_expiry_ms()) == 400
    expired = await engine.read(lambda tx: tx.expired_runs(500, 10))
    assert [row.run_id for row in expired] == ["run_2", "run_1"]
    assert len(await engine.read(lambda tx: tx.expired_runs(500, 1))) == 1


async def test_deleting_a_run_takes_everything_it_had_and_nothing_else(engine: Engine) -> None:
    def create(tx: object, run_id: str) -> None:
        tx.put_run(samples.run(run_id))
        tx.insert_event(samples.event(run_id))
        tx.put_attributes(run_id, {"customer": "42"})
        tx.put_entity(samples.entity(run_id=run_id), created_at=1)
        tx.put_token(samples.token(f"token of {run_id}", run_id=run_id))
        tx.put_request(samples.request(f"req of {run_id}", run_id=run_id))
        tx.insert_message(samples.message(f"msg of {run_id}", group=run_id))

    def traces(tx: object, run_id: str) -> list[object]:
        return [
            tx.run(run_id),
            tx.event(run_id, 1),
            tx.entity(run_id, samples.entity().kind, "step_a"),
            tx.token(f"token of {run_id}"),
            tx.request(f"req of {run_id}"),
            tx.message(f"msg of {run_id}"),
        ]

    await engine.write(lambda tx: [create(tx, "run_a"), create(tx, "run_b")])
    before = await engine.read(lambda tx: traces(tx, "run_b"))
    position = await engine.write(lambda tx: tx.delete_run("run_a"))
    assert position == 1
    assert await engine.read(lambda tx: traces(tx, "run_a")) == [None] * 6
    assert await engine.read(lambda tx: traces(tx, "run_b")) == before
    assert await listed(engine, attributes={"customer": "42"}) == ["run_b"]
    assert await engine.write(lambda tx: tx.delete_run("run_a")) == 0


async def test_a_deleted_position_is_never_given_again(engine: Engine) -> None:
    await engine.write(lambda tx: tx.insert_event(samples.event("run_a")))
    await engine.write(lambda tx: tx.delete_run("run_a"))
    row: EventRow = samples.event("run_b")
    await engine.write(lambda tx: tx.insert_event(row))
    assert await engine.read(lambda tx: tx.all_events(after_position=0, limit=9)) == [(2, row)]
