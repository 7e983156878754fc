"""Leases: who holds a message, until when, and what a lost one is told. Hazards 3, 12, 13, 15."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from holdfast.refusal import Refusal
from holdfast.v1 import error_pb2, payload_pb2
from holdfast.v1 import queue_service_pb2 as api
from store_service import limits
from store_service.engines.contract import QueueNote
from store_service.rules import leases
from store_service.rules.queue_reading import message_of
from tests.support.clocks import EPOCH_MS
from tests.support.queue_bench import LEASE_MS, QUEUE, Bench

LOST = "LEASE_LOST"


async def test_an_acknowledged_message_is_gone_and_a_second_acknowledgement_is_told_done(bench: Bench) -> None:
    await bench.send()
    receipt = (await bench.claim_one()).receipt
    for _ in range(2):
        (result,) = await bench.ack(receipt)
        assert result.ok and not result.reason
    bench.now_ms += LEASE_MS
    assert await bench.texts() == []


async def test_an_acknowledgement_is_remembered_for_a_day_also_among_many_others(bench: Bench) -> None:
    await bench.send()
    receipt = (await bench.claim_one()).receipt
    await bench.ack(receipt)
    bench.now_ms += 23 * 3_600_000
    await bench.ack(*["msg_x.unknown"] * 50)
    (result,) = await bench.ack(receipt)
    assert result.ok


async def test_a_dead_holders_message_comes_back_when_its_lease_ends_and_not_before(bench: Bench) -> None:
    await bench.send()
    await bench.claim_one()
    bench.now_ms += LEASE_MS - 1
    assert await bench.claim() == []
    bench.now_ms += 1
    again = await bench.claim_one()
    assert again.message.delivery_count == 2
    assert again.message.last_reason == "lease expired"


async def test_a_holder_whose_lease_moved_on_is_fenced_off(bench: Bench) -> None:
    await bench.send()
    paused = await bench.claim_one()
    bench.now_ms += LEASE_MS
    other = await bench.claim_one()
    assert paused.receipt != other.receipt
    (result,) = await bench.ack(paused.receipt)
    assert (result.ok, result.reason) == (False, LOST)
    assert not (await bench.nack(paused.receipt)).ok
    assert not (await bench.extend(paused.receipt)).ok
    (held,) = await bench.ack(other.receipt)
    assert held.ok


@pytest.mark.parametrize("rule", [leases.require_held, leases.acknowledge])
async def test_a_create_under_a_lost_lease_is_told_who_has_the_message_now(bench: Bench, rule: object) -> None:
    await bench.send()
    paused = await bench.claim_one()
    bench.now_ms += LEASE_MS
    await bench.claim_one()
    with pytest.raises(Refusal) as caught:
        await bench.engine.write(lambda tx: rule(tx, paused.receipt, bench.now_ms))  # type: ignore[operator]
    detail = caught.value.detail
    assert isinstance(detail, error_pb2.LeaseLost)
    assert (caught.value.reason, detail.message_id, detail.taken_over) == (LOST, paused.message.message_id, True)


async def ended_ms(bench: Bench, receipt: str) -> int:
    with pytest.raises(Refusal) as caught:
        await bench.engine.write(lambda tx: leases.require_held(tx, receipt, bench.now_ms))
    detail = caught.value.detail
    assert isinstance(detail, error_pb2.LeaseLost)
    return detail.expire_time.ToMilliseconds() if detail.HasField("expire_time") else 0


async def test_who_lost_a_lease_is_told_when_that_one_ended(bench: Bench) -> None:
    await bench.send()
    first = await bench.claim_one()
    first_end = bench.now_ms + LEASE_MS
    bench.now_ms = first_end + 7
    second = await bench.claim_one()
    bench.now_ms += 30
    given_back_ms = bench.now_ms
    await bench.nack(second.receipt)
    third = await bench.claim_one()
    acknowledged_ms = bench.now_ms = bench.now_ms + 5
    await bench.ack(third.receipt)
    bench.now_ms += 1_000
    ends = [await ended_ms(bench, lease.receipt) for lease in (first, second, third)]
    assert ends == [first_end, given_back_ms, acknowledged_ms]
    assert await ended_ms(bench, "msg_unknown.receipt") == 0


async def test_leases_that_nobody_settles_do_not_pile_up(bench: Bench) -> None:
    await bench.send(max_deliveries=50)
    receipts = []
    for _ in range(4):
        receipts.append((await bench.claim_one()).receipt)
        bench.now_ms += limits.REQUEST_ID_WINDOW_MS
    await bench.claim_one()
    assert [await ended_ms(bench, receipt) > 0 for receipt in receipts] == [False, False, False, True]


@pytest.mark.parametrize("rule", [leases.require_held, leases.acknowledge])
async def test_a_create_under_a_settled_receipt_is_refused(bench: Bench, rule: object) -> None:
    await bench.send()
    receipt = (await bench.claim_one()).receipt
    await bench.ack(receipt)
    with pytest.raises(Refusal, match="acknowledged before") as caught:
        await bench.engine.write(lambda tx: rule(tx, receipt, bench.now_ms))  # type: ignore[operator]
    assert caught.value.reason == LOST


async def test_a_lease_that_ended_but_was_not_taken_over_still_counts(bench: Bench) -> None:
    await bench.send()
    receipt = (await bench.claim_one()).receipt
    bench.now_ms += 10 * LEASE_MS
    await bench.engine.write(lambda tx: leases.require_held(tx, receipt, bench.now_ms))
    assert (await bench.extend(receipt)).ok
    assert await bench.claim() == []
    await bench.engine.write(lambda tx: leases.acknowledge(tx, receipt, bench.now_ms))


async def test_a_holder_keeps_its_lease_as_long_as_it_extends_it(bench: Bench) -> None:
    await bench.send()
    receipt = (await bench.claim_one()).receipt
    for _ in range(10):
        bench.now_ms += LEASE_MS // 3
        result = await bench.extend(receipt)
        assert result.ok and result.expire_time.ToMilliseconds() == bench.now_ms + LEASE_MS
        assert await bench.claim() == []


async def test_an_extension_may_name_another_length(bench: Bench) -> None:
    await bench.send()
    receipt = (await bench.claim_one()).receipt
    await bench.extend(receipt, 1_000)
    bench.now_ms += 1_000
    assert len(await bench.claim()) == 1


async def test_a_message_given_back_is_delivered_again_at_once_or_after_a_delay(bench: Bench) -> None:
    await bench.send()
    first = await bench.claim_one()
    assert (await bench.nack(first.receipt, reason="not now")).ok
    second = await bench.claim_one()
    assert (second.message.delivery_count, second.message.last_reason) == (2, "not now")
    await bench.nack(second.receipt, delay_ms=5_000)
    bench.now_ms += 4_999
    assert await bench.claim() == []
    bench.now_ms += 1
    assert len(await bench.claim()) == 1


async def test_a_released_delivery_does_not_count(bench: Bench) -> None:
    await bench.send(max_deliveries=1)
    for _ in range(5):
        leased = await bench.claim_one()
        assert leased.message.delivery_count == 1
        await bench.nack(leased.receipt, action=api.NACK_ACTION_RELEASE)


async def test_a_released_delivery_leaves_those_before_it_counted(bench: Bench) -> None:
    await bench.send(max_deliveries=9)
    await bench.nack((await bench.claim_one()).receipt)
    second = await bench.claim_one()
    await bench.nack(second.receipt, action=api.NACK_ACTION_RELEASE)
    assert (second.message.delivery_count, (await bench.claim_one()).message.delivery_count) == (2, 2)


async def test_a_message_is_dead_after_its_deliveries_whether_given_back_or_left(bench: Bench) -> None:
    given_back, _ = await bench.send("a", max_deliveries=2)
    left, _ = await bench.send("b", max_deliveries=2)
    for _ in range(2):
        leased = {one.message.message_id: one.receipt for one in await bench.claim()}
        await bench.nack(leased[given_back], reason="broken")
        bench.now_ms += LEASE_MS
    assert await bench.claim() == []
    rows = [await bench.row(message_id) for message_id in (given_back, left)]
    assert [row.state for row in rows] == [api.QUEUE_MESSAGE_STATE_DEAD] * 2
    assert [row.last_reason for row in rows] == ["broken", "lease expired"]


async def test_a_message_can_be_made_a_dead_letter_on_request(bench: Bench) -> None:
    message_id, _ = await bench.send(group="a")
    await bench.send("next", group="a")
    await bench.nack((await bench.claim_one()).receipt, action=api.NACK_ACTION_DEAD_LETTER)
    assert (await bench.row(message_id)).state == api.QUEUE_MESSAGE_STATE_DEAD
    assert await bench.texts() == ["next"]


async def test_giving_back_twice_is_told_done_and_acknowledging_after_it_is_not(bench: Bench) -> None:
    await bench.send()
    receipt = (await bench.claim_one()).receipt
    assert (await bench.nack(receipt)).ok
    assert (await bench.nack(receipt)).ok
    (result,) = await bench.ack(receipt)
    assert not result.ok
    assert len(await bench.claim()) == 1


async def test_an_unknown_receipt_is_lost(bench: Bench) -> None:
    (result,) = await bench.ack("msg_nobody.sent")
    assert (result.ok, result.reason) == (False, LOST)


async def test_results_come_in_the_order_of_the_receipts(bench: Bench) -> None:
    await bench.send("a")
    await bench.send("b")
    one, two = await bench.claim()
    results = await bench.ack(two.receipt, "msg_x.y", one.receipt)
    assert [result.receipt for result in results] == [two.receipt, "msg_x.y", one.receipt]
    assert [result.ok for result in results] == [True, False, True]


async def test_a_claim_tells_everyone_when_its_lease_ends(bench: Bench) -> None:
    """Whoever sleeps on the queue, in this process or another, must be there when the holder has died."""
    noted: list[object] = []
    await bench.send()
    bench.engine.listen(noted.extend)
    await bench.claim_one()
    assert noted == [QueueNote(QUEUE, EPOCH_MS + LEASE_MS)]


async def test_a_message_given_back_is_told_to_everyone_for_when_it_is_due(bench: Bench) -> None:
    noted: list[object] = []
    await bench.send()
    receipt = (await bench.claim_one()).receipt
    bench.engine.listen(noted.extend)
    await bench.nack(receipt, delay_ms=700)
    assert noted == [QueueNote(QUEUE, EPOCH_MS + 700)]


async def test_an_extension_that_ends_no_earlier_tells_nobody_and_one_that_does_tells_everyone(bench: Bench) -> None:
    noted: list[object] = []
    await bench.send()
    receipt = (await bench.claim_one()).receipt
    bench.engine.listen(noted.extend)
    await bench.extend(receipt)
    assert noted == []
    await bench.extend(receipt, 1_000)
    assert noted == [QueueNote(QUEUE, EPOCH_MS + 1_000)]


async def test_what_a_consumer_said_last_is_kept_beside_what_was_sent(bench: Bench) -> None:
    message_id, _ = await bench.send("hello")
    receipt = (await bench.claim_one()).receipt
    said = payload_pb2.Payload(text='"half"')
    await bench.engine.write(lambda tx: leases.extend_many(tx, [receipt], None, bench.now_ms, said))
    shown = message_of(await bench.row(message_id))
    assert (shown.payload.text, shown.progress.text) == ('"hello"', '"half"')


async def test_a_lease_of_a_wrong_clock_is_cut_to_its_length_and_everyone_is_told(bench: Bench) -> None:
    noted: list[object] = []
    await bench.send("far")
    bench.now_ms += 10 * limits.LEASE_MS_MAX
    far = (await bench.claim_one()).message.message_id
    bench.now_ms = EPOCH_MS
    await bench.send("near")
    near = (await bench.claim_one()).message.message_id
    bench.engine.listen(noted.extend)
    assert await bench.engine.write(lambda tx: leases.shorten_impossible(tx, EPOCH_MS)) == 1
    assert noted == [QueueNote(QUEUE, EPOCH_MS + LEASE_MS)]
    ends = [(await bench.row(message_id)).lease_expire_ms for message_id in (far, near)]
    assert ends == [EPOCH_MS + LEASE_MS] * 2


async def test_receipts_of_long_ago_do_not_pile_up(bench: Bench) -> None:
    for settle in (bench.ack, bench.nack):
        old, new = [await _settled(bench, settle), await _settled(bench, settle, later_ms=limits.REQUEST_ID_WINDOW_MS)]
        kept = [
            await bench.engine.read(lambda reader, it=it: reader.settled_until(it) is not None) for it in (old, new)
        ]  # type: ignore[misc]
        assert kept == [False, True]


async def _settled(bench: Bench, settle: Callable[[str], Awaitable[object]], later_ms: int = 0) -> str:
    """Settle a delivery, a while later; returns what is remembered of it."""
    bench.now_ms += later_ms
    await bench.send()
    receipt = (await bench.claim_one()).receipt
    await settle(receipt)
    return receipt if settle == bench.ack else leases._GIVEN_BACK.format(receipt=receipt)


def test_every_nack_action_is_served() -> None:
    assert set(leases._ACTIONS) == set(api.NackAction.values())


def test_every_state_of_a_lost_message_has_words() -> None:
    assert set(leases._FATES) == set(api.QueueMessageState.values()) - {0}


async def test_a_clock_that_was_set_back_never_gives_a_lease_away_early(bench: Bench) -> None:
    await bench.send()
    await bench.claim_one()
    bench.now_ms = EPOCH_MS - 3_600_000
    assert await bench.claim() == []
