"""Safeguards of messages, leases and repeated requests: who may write, and how often the same thing counts.

Owns their switches and the tests that must fail without them. A switch puts something harmless in the place of the
safeguard, in a process that dies with it. Read ``safeguards.py`` for the whole table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tests.refusing.safeguard import SCHEDULES, Safeguard, nothing


def _held_receipts() -> None:
    from store_service.rules import leases

    leases.require_held = nothing


def _acknowledged_receipts() -> None:
    from store_service.rules import leases

    acknowledge_held = leases.acknowledge

    def acknowledge(tx: Any, receipt: str, now_ms: int) -> None:
        if tx.leased_message(receipt) is not None:
            acknowledge_held(tx, receipt, now_ms)

    leases.acknowledge = acknowledge


def _receipt_of_each_delivery() -> None:
    from store_service.rules import queue

    queue.secrets = type("OneReceipt", (), {"token_urlsafe": staticmethod(lambda size: "same")})


def _group_lease() -> None:
    from store_service.engines.sqlite import statements

    statements.GROUP_IS_LEASED = "SELECT 1 WHERE ? = '' AND ? = ''"


def _end_of_leases() -> None:
    from store_service.rules import queue

    queue.take_back_expired = nothing


def _keys_die_with_the_delivery() -> None:
    from store_service.engines.contract import MessageQuery
    from store_service.engines.sqlite.transaction import SqliteTransaction
    from store_service.rules.queue import LEASED, READY

    def waiting_message(self: Any, queue: str, key: str) -> Any:
        query = MessageQuery(queue=queue, limit=1000, states=(READY, LEASED))
        return next((row for row in self.messages(query) if row.key == key), None)

    SqliteTransaction.waiting_message = waiting_message


def _request_id() -> None:
    from store_service.rules import requests

    requests.recall = nothing


def _content_of_a_request() -> None:
    from store_service.rules import requests

    requests.digest = lambda run_id, events, messages: b"same"


def _wake_up_with_a_fact() -> None:
    from store_service.rules import waking

    waking.wake = nothing


_RULES: Final = "tests/rules"
_QUEUE: Final = "tests/queue"

#: Name of a safeguard → what is known of it.
ROWS: Final[Mapping[str, Safeguard]] = {
    "fence": Safeguard(
        "a writer whose lease moved on writes nothing",
        _held_receipts,
        (f"{_RULES}/test_append.py::test_a_writer_whose_lease_moved_on_writes_nothing", SCHEDULES),
    ),
    "fence of the last write": Safeguard(
        "a receipt that is lost acknowledges nothing",
        _acknowledged_receipts,
        (f"{_RULES}/test_order_of_checks.py::test_a_lost_receipt_is_told_before_a_used_up_quota", SCHEDULES),
    ),
    "a receipt for each delivery": Safeguard(
        "the receipt of a lease that moved on is worth nothing",
        _receipt_of_each_delivery,
        (f"{_QUEUE}/test_leases.py::test_a_holder_whose_lease_moved_on_is_fenced_off", SCHEDULES),
    ),
    "group lease": Safeguard(
        "one message of a group is out at a time",
        _group_lease,
        (f"{_QUEUE}/test_queue_order.py::test_a_group_has_at_most_one_message_leased", SCHEDULES),
    ),
    "end of leases": Safeguard(
        "the message of a dead holder is delivered again",
        _end_of_leases,
        (
            f"{_QUEUE}/test_leases.py::test_a_dead_holders_message_comes_back_when_its_lease_ends_and_not_before",
            SCHEDULES,
        ),
    ),
    "keys die with the delivery": Safeguard(
        "a wake-up sent during a delivery is delivered after it",
        _keys_die_with_the_delivery,
        (
            f"{_QUEUE}/test_queue_order.py"
            "::test_a_key_dies_with_the_delivery_so_that_a_wake_up_during_it_is_delivered_after",
            SCHEDULES,
        ),
    ),
    "request id": Safeguard(
        "a repeat gets the first answer and writes nothing",
        _request_id,
        (f"{_RULES}/test_requests.py::test_a_resume_retried_after_a_lost_reply_is_one_value", SCHEDULES),
    ),
    "content of a request": Safeguard(
        "a request id is no excuse for another content",
        _content_of_a_request,
        (f"{_RULES}/test_requests.py::test_the_same_id_with_other_content_is_refused",),
    ),
    "wake-up with the fact": Safeguard(
        "no fact is recorded without its wake-up",
        _wake_up_with_a_fact,
        (f"{_RULES}/test_append.py::test_a_run_that_named_a_queue_is_woken_by_every_fact_from_outside", SCHEDULES),
    ),
}
