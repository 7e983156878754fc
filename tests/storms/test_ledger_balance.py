"""The balance of a ledger sees each kind of loss: a recorded run is in balance, until something is amiss."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.storms.decide_histories import read
from tests.storms.senders import Told
from tests.storms.store_calls import Event
from tests.storms.test_ledger_storm import balance, value_of

HISTORY = Path(__file__).parents[1] / "histories" / "ledger-frozen.jsonl"

Amiss = Callable[[list[Event], Told], None]


def _told(log: list[Event]) -> Told:
    """What senders were told, had every answer been right."""
    tokens = {it.correlation_id: it.hook_created.token for it in log if it.HasField("hook_created")}
    told = Told()
    for event in log:
        if event.HasField("hook_received"):
            told.accepted.setdefault(tokens[event.correlation_id], []).append(value_of(event))
    return told


def _forget_an_answer(log: list[Event], told: Told) -> None:
    next(iter(told.accepted.values())).pop()


def _lose_a_value(log: list[Event], told: Told) -> None:
    next(iter(told.accepted.values())).append("never recorded")


def _refuse_what_was_taken(log: list[Event], told: Told) -> None:
    token, values = next(iter(told.accepted.items()))
    told.refused[token] = [values[0]]


def _take_twice(log: list[Event], told: Told) -> None:
    _change_accounts(log, lambda taken: taken.append(taken[-1]))


def _swallow(log: list[Event], told: Told) -> None:
    _change_accounts(log, lambda taken: taken.clear())


def _change_accounts(log: list[Event], change: Callable[[list[str]], None]) -> None:
    accounts = json.loads(log[-1].run_completed.output.text)
    for account in accounts:
        if account["taken"]:
            change(account["taken"])
    log[-1].run_completed.output.text = json.dumps(accounts)


def test_a_recorded_run_is_in_balance() -> None:
    log = read(HISTORY)
    assert list(balance(log[0].run_id, log, _told(log))) == []


AMISS = (_forget_an_answer, _lose_a_value, _refuse_what_was_taken, _take_twice, _swallow)


@pytest.mark.parametrize("amiss", AMISS, ids=lambda it: it.__name__)
def test_what_is_amiss_is_seen(amiss: Amiss) -> None:
    log = copy.deepcopy(read(HISTORY))
    told = _told(log)
    amiss(log, told)
    assert list(balance(log[0].run_id, log, told)) != []
