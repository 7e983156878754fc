"""What is handed out, in which order, and when: design §9, hazards 24 to 26."""

from __future__ import annotations

from holdfast.v1 import queue_service_pb2 as api
from tests.support.clocks import EPOCH_MS
from tests.support.queue_bench import LEASE_MS, Bench, text_of


async def test_messages_go_by_priority_then_due_time_then_sending(bench: Bench) -> None:
    await bench.send("late", due_ms=EPOCH_MS + 20)
    await bench.send("first sent")
    await bench.send("second sent")
    await bench.send("important", priority=5)
    await bench.send("unimportant", priority=-5)
    await bench.send("earlier due", due_ms=EPOCH_MS + 10)
    bench.now_ms += 20
    assert await bench.texts() == ["important", "first sent", "second sent", "earlier due", "late", "unimportant"]


async def test_a_group_has_at_most_one_message_leased(bench: Bench) -> None:
    await bench.send("a1", group="a")
    await bench.send("a2", group="a")
    await bench.send("b1", group="b")
    assert await bench.texts() == ["a1", "b1"]
    assert await bench.texts() == []


async def test_the_next_of_a_group_comes_when_the_one_before_is_acknowledged(bench: Bench) -> None:
    await bench.send("a1", group="a")
    await bench.send("a2", group="a")
    first = await bench.claim_one()
    await bench.ack(first.receipt)
    assert await bench.texts() == ["a2"]


async def test_a_message_that_was_given_back_keeps_its_place_in_its_group(bench: Bench) -> None:
    await bench.send("a1", group="a")
    bench.now_ms += 5
    await bench.send("a2", group="a")
    first = await bench.claim_one()
    bench.now_ms += 5
    await bench.nack(first.receipt)
    assert await bench.texts() == ["a1"]


async def test_messages_without_a_group_are_not_bound(bench: Bench) -> None:
    await bench.send("one")
    await bench.send("two")
    assert await bench.texts() == ["one", "two"]


async def test_a_delayed_message_blocks_nobody_not_even_its_group(bench: Bench) -> None:
    await bench.send("later", group="a", due_ms=EPOCH_MS + 1000)
    await bench.send("now", group="a")
    assert await bench.texts() == ["now"]


async def test_a_sleep_of_months_is_never_early_and_comes_when_it_is_due(bench: Bench) -> None:
    months_ms = 200 * 24 * 3_600_000
    await bench.send("wake", due_ms=EPOCH_MS + months_ms)
    bench.now_ms += months_ms - 1
    assert await bench.texts() == []
    bench.now_ms += 1
    assert await bench.texts() == ["wake"]


async def test_a_deliver_time_in_the_past_means_now_and_overtakes_nobody(bench: Bench) -> None:
    await bench.send("first")
    await bench.send("second", due_ms=EPOCH_MS - 1_000_000)
    assert await bench.texts() == ["first", "second"]


async def test_the_first_queue_with_a_message_wins(bench: Bench) -> None:
    await bench.send("from b", queue="b")
    await bench.send("from a", queue="a")
    assert [text_of(leased) for leased in await bench.claim(10, "empty", "a", "b")] == ["from a"]


async def test_a_key_dedupes_against_waiting_messages_and_keeps_the_earlier_time(bench: Bench) -> None:
    first, was_known = await bench.send("one", idempotency_key="k", due_ms=EPOCH_MS + 1000)
    assert not was_known
    assert await bench.send("two", idempotency_key="k", due_ms=EPOCH_MS + 5000) == (first, True)
    assert (await bench.row(first)).deliver_ms == EPOCH_MS + 1000
    assert await bench.send("three", idempotency_key="k") == (first, True)
    assert await bench.texts() == ["one"]


async def test_a_key_dies_with_the_delivery_so_that_a_wake_up_during_it_is_delivered_after(bench: Bench) -> None:
    first, _ = await bench.send("wake", idempotency_key="k", group="run")
    delivery = await bench.claim_one()
    second, was_known = await bench.send("wake again", idempotency_key="k", group="run")
    assert not was_known and second != first
    assert await bench.texts() == []
    await bench.ack(delivery.receipt)
    assert await bench.texts() == ["wake again"]


async def test_two_messages_with_one_key_may_wait_after_a_lease_ended_and_both_are_delivered(bench: Bench) -> None:
    await bench.send("first", idempotency_key="k", group="run")
    await bench.claim_one()
    await bench.send("second", idempotency_key="k", group="run")
    bench.now_ms += LEASE_MS
    first = await bench.claim_one()
    assert text_of(first) == "first" and first.message.delivery_count == 2
    await bench.ack(first.receipt)
    assert await bench.texts() == ["second"]


async def test_keys_of_different_queues_have_nothing_to_do_with_each_other(bench: Bench) -> None:
    one, _ = await bench.send("one", queue="a", idempotency_key="k")
    two, was_known = await bench.send("two", queue="b", idempotency_key="k")
    assert not was_known and one != two


async def test_a_delivery_says_what_was_sent_and_how_often_it_was_delivered(bench: Bench) -> None:
    message_id, _ = await bench.send("hello", group="g", priority=7, max_deliveries=3, headers={"a": "b"})
    leased = await bench.claim_one()
    message = leased.message
    assert message.message_id == message_id and message.headers == {"a": "b"}
    assert (message.group, message.priority, message.delivery_count, message.max_deliveries) == ("g", 7, 1, 3)
    assert message.state == api.QUEUE_MESSAGE_STATE_LEASED
    assert leased.receipt.startswith(message_id + ".")
    assert leased.expire_time.ToMilliseconds() == EPOCH_MS + LEASE_MS


async def test_dead_letters_come_back_by_redrive_as_if_never_delivered(bench: Bench) -> None:
    from store_service.rules import queue

    message_id, _ = await bench.send("bad", max_deliveries=1)
    await bench.nack((await bench.claim_one()).receipt, reason="broken")
    dead = await bench.row(message_id)
    assert (dead.state, dead.last_reason) == (api.QUEUE_MESSAGE_STATE_DEAD, "broken")
    assert await bench.texts() == []
    assert await bench.engine.write(lambda tx: queue.redrive(tx, "mail", [message_id], bench.now_ms)) == 1
    assert await bench.engine.write(lambda tx: queue.redrive(tx, "mail", [message_id], bench.now_ms)) == 0
    assert (await bench.claim_one()).message.delivery_count == 1
