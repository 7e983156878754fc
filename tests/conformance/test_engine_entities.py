"""Conformance: steps, hooks, waits, hook tokens, request ids and the store's own values."""

from __future__ import annotations

import pytest

from store_service.engines.contract import Engine, EntityKind, EntityQuery, EntityRow
from tests.conformance import samples

STEP, HOOK, WAIT = EntityKind


async def put(engine: Engine, *rows: EntityRow, created_at: int = 1) -> None:
    await engine.write(lambda tx: [tx.put_entity(row, created_at=created_at) for row in rows])


async def listed(engine: Engine, kind: EntityKind, **filters: object) -> list[tuple[str, str]]:
    query = EntityQuery(**{"kind": kind, "limit": 10, **filters})
    return [(row.run_id, row.entity_id) for row in await engine.read(lambda tx: tx.entities(query))]


def wait(entity_id: str, due_ms: int, **changes: object) -> EntityRow:
    return samples.entity(entity_id, kind=WAIT, due_ms=due_ms, **changes)


async def test_an_entity_comes_back_as_it_was_put_and_replaced(engine: Engine) -> None:
    await put(engine, samples.entity(created_seq=3))
    row = samples.entity(status=3, is_open=False, created_seq=3, current_seq=8, terminal_seq=8, due_ms=77, body=b"new")
    await put(engine, row)
    found = await engine.read(lambda tx: tx.entity("run_a", STEP, "step_a"))
    assert found == row
    assert type(found.kind) is EntityKind
    assert found.is_open is False


async def test_a_step_and_a_hook_may_share_an_id(engine: Engine) -> None:
    step, hook = samples.entity("same"), samples.entity("same", kind=HOOK, created_seq=2)
    await put(engine, step, hook)
    assert await engine.read(lambda tx: tx.entity("run_a", STEP, "same")) == step
    assert await engine.read(lambda tx: tx.entity("run_a", HOOK, "same")) == hook
    assert await engine.read(lambda tx: tx.entity("run_a", WAIT, "same")) is None


async def test_a_wait_without_a_time_is_refused(engine: Engine) -> None:
    with pytest.raises(Exception, match="constraint"):
        await put(engine, samples.entity("wait_a", kind=WAIT))


async def test_open_entities_of_a_run_come_in_order_of_creation(engine: Engine) -> None:
    await put(
        engine,
        samples.entity("z", created_seq=2),
        wait("a", 5, created_seq=4),
        samples.entity("m", kind=HOOK, created_seq=3),
        samples.entity("closed", created_seq=1, terminal_seq=1, is_open=False),
        samples.entity("other", run_id="run_b"),
    )
    found = await engine.read(lambda tx: tx.open_entities("run_a"))
    assert [row.entity_id for row in found] == ["z", "m", "a"]


async def test_steps_of_a_run_are_paged_by_creation(engine: Engine) -> None:
    await put(
        engine,
        samples.entity("b", created_seq=1),
        samples.entity("c", created_seq=2, status=2),
        samples.entity("a", created_seq=3),
        samples.entity("hook", kind=HOOK, created_seq=4),
        samples.entity("x", run_id="run_b"),
    )
    assert await listed(engine, STEP, run_id="run_a") == [("run_a", "b"), ("run_a", "c"), ("run_a", "a")]
    assert await listed(engine, STEP, run_id="run_a", after=(1, "run_a", "b"), limit=1) == [("run_a", "c")]
    assert await listed(engine, STEP, run_id="run_a", statuses=(2, 5)) == [("run_a", "c")]


async def test_hooks_of_every_run_are_paged_by_the_time_of_their_creation(engine: Engine) -> None:
    await put(engine, samples.entity("h1", kind=HOOK, created_seq=9), created_at=20)
    await put(engine, samples.entity("h2", kind=HOOK, run_id="run_b"), created_at=10)
    await put(engine, samples.entity("h3", kind=HOOK, run_id="run_b", created_seq=2), created_at=20)
    # A later put does not move it: creation is of the first.
    await put(engine, samples.entity("h2", kind=HOOK, run_id="run_b", status=2, current_seq=7), created_at=10)
    assert await listed(engine, HOOK) == [("run_b", "h2"), ("run_a", "h1"), ("run_b", "h3")]
    assert await listed(engine, HOOK, after=(20, "run_a", "h1")) == [("run_b", "h3")]
    assert await listed(engine, HOOK, run_id="run_b") == [("run_b", "h2"), ("run_b", "h3")]


async def test_waits_are_paged_by_due_time(engine: Engine) -> None:
    await put(
        engine,
        wait("w1", 300),
        wait("w2", 100),
        wait("w3", 200, run_id="run_b"),
        wait("w0", 300, created_seq=2),
    )
    assert await listed(engine, WAIT, run_id="run_a") == [("run_a", "w2"), ("run_a", "w0"), ("run_a", "w1")]
    assert await listed(engine, WAIT, run_id="run_a", after=(300, "run_a", "w0")) == [("run_a", "w1")]
    everywhere = [("run_a", "w2"), ("run_b", "w3"), ("run_a", "w0"), ("run_a", "w1")]
    assert await listed(engine, WAIT) == everywhere
    assert await listed(engine, WAIT, after=(200, "run_b", "w3")) == everywhere[2:]
    assert await listed(engine, WAIT, due_until_ms=300) == everywhere[:2]


async def test_steps_of_every_run_are_paged_too(engine: Engine) -> None:
    await put(engine, samples.entity("s1", created_seq=2), samples.entity("s2", run_id="run_b"))
    assert await listed(engine, STEP) == [("run_b", "s2"), ("run_a", "s1")]


async def test_only_open_hooks_expire(engine: Engine) -> None:
    await put(
        engine,
        samples.entity("h1", kind=HOOK, due_ms=500),
        samples.entity("h2", kind=HOOK, due_ms=400),
        samples.entity("h3", kind=HOOK, due_ms=100, is_open=False, terminal_seq=1),
        samples.entity("h4", kind=HOOK),
        wait("w1", 50),
    )
    assert await engine.read(lambda tx: tx.next_expiry_ms()) == 400
    found = await engine.read(lambda tx: tx.expired_hooks(500, 10))
    assert [row.entity_id for row in found] == ["h2", "h1"]
    assert [row.entity_id for row in await engine.read(lambda tx: tx.expired_hooks(499, 10))] == ["h2"]


async def test_a_token_has_one_owner_until_it_is_deleted(engine: Engine) -> None:
    await engine.write(lambda tx: tx.put_token(samples.token("order:42")))
    moved = samples.token("order:42", run_id="run_b", hook_id="hook_b", retain_until_ms=9)
    await engine.write(lambda tx: tx.put_token(moved))
    assert await engine.read(lambda tx: tx.token("order:42")) == moved
    await engine.write(lambda tx: tx.delete_token("order:42"))
    assert await engine.read(lambda tx: tx.token("order:42")) is None


async def test_nothing_expires_in_an_empty_store(engine: Engine) -> None:
    assert await engine.read(lambda tx: tx.next_expiry_ms()) is None


async def test_a_retained_token_expires_too(engine: Engine) -> None:
    await engine.write(lambda tx: tx.put_token(samples.token("kept", retain_until_ms=300)))
    assert await engine.read(lambda tx: tx.next_expiry_ms()) == 300


async def test_a_request_id_is_remembered_with_what_it_wrote(engine: Engine) -> None:
    row = samples.request(message_ids=("msg_a", 'odd "one"'))
    await engine.write(lambda tx: tx.put_request(row))
    assert await engine.read(lambda tx: tx.request("req_a")) == row
    assert await engine.read(lambda tx: tx.request("req_b")) is None


async def test_what_is_over_is_forgotten_and_no_more_than_the_limit(engine: Engine) -> None:
    def unit(tx: object) -> None:
        for number in range(3):
            tx.put_request(samples.request(f"req_{number}", expire_ms=100 + number))
            tx.settle(f"receipt_{number}", 100 + number)
            tx.put_token(samples.token(f"token_{number}", retain_until_ms=100 + number))
        tx.put_token(samples.token("open"))

    def left(tx: object) -> list[int]:
        requests = sum(tx.request(f"req_{number}") is not None for number in range(3))
        receipts = sum(tx.settled_until(f"receipt_{number}") is not None for number in range(3))
        tokens = sum(tx.token(f"token_{number}") is not None for number in range(3))
        return [requests, receipts, tokens]

    await engine.write(unit)
    await engine.write(lambda tx: tx.forget_expired(101, 1))
    assert await engine.read(left) == [2, 2, 2]
    await engine.write(lambda tx: tx.forget_expired(101, 10))
    assert await engine.read(left) == [1, 1, 1]
    assert await engine.read(lambda tx: tx.token("open")) is not None


async def test_the_store_id_is_made_once_and_meta_values_are_replaced(engine: Engine, database: object) -> None:
    store_id = await engine.read(lambda tx: tx.meta("store_id"))
    assert store_id
    await engine.write(lambda tx: tx.set_meta("deleted_position", "7"))
    await engine.write(lambda tx: tx.set_meta("deleted_position", "8"))
    await engine.close()
    again = await database()
    assert await again.read(lambda tx: tx.meta("store_id")) == store_id
    assert await again.read(lambda tx: tx.meta("deleted_position")) == "8"
    assert await again.read(lambda tx: tx.meta("unknown")) is None
