"""The guard is exact: over all small logs, clocks and snapshots, never a stale one accepted, never a fresh one refused.

The oracle knows dense positions only: a snapshot is a prefix of the log, and it is stale when an event that moves the
marker lies beyond it. The rule decides from times. They must agree whatever the wall clock did, and the same checker
must report violations once the comparison or the clock rule is broken: a guard must be seen to refuse.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pytest

from holdfast.refusal import Refusal
from holdfast.v1 import event_pb2
from store_service.engines.contract import EventRow, Transaction
from store_service.rules import clock, guard
from store_service.rules.append import Append, append
from tests.rules import book as write
from tests.rules.book import NOW, Book

MOVING, RESTING, DECISION = "fact that moves the marker", "fact that does not", "decision"
LETTERS = (MOVING, RESTING, DECISION)
LENGTH_MAX = 4

#: The wall clock before an event against the one before: it stands still, ticks, goes back, jumps.
STEPS_MS = (0, 1, -5, 1000)

CASES_A_UNIT = 100

#: That the checker sees violations is a matter of the checker: one engine is enough.
ON_A_FILE = pytest.mark.parametrize("book", ["sqlite"], indirect=True)

#: A receipt that nobody holds: receipts are checked after the guard, so LEASE_LOST says that the guard let it pass,
#: and the log stays as it was for the next question.
NOBODY = ("msg_nobody.0",)


@dataclass(frozen=True, slots=True)
class Case:
    """One log: what is written after the opening, and how the wall clock moves before each."""

    letters: tuple[str, ...]
    steps_ms: tuple[int, ...]


def all_cases(length_max: int) -> Iterator[Case]:
    for length in range(length_max + 1):
        for letters in itertools.product(LETTERS, repeat=length):
            for steps in _clocks(length):
                yield Case(letters, steps)


def _clocks(length: int) -> Iterable[tuple[int, ...]]:
    """Every movement of the clock; for the longest logs one that is steady but for one place, which bounds the time."""
    if length < LENGTH_MAX:
        return itertools.product(STEPS_MS, repeat=length)
    changed = itertools.product(range(length), STEPS_MS, STEPS_MS)
    return {tuple(other if at == place else usual for at in range(length)) for place, usual, other in changed}


@dataclass(slots=True)
class Checker:
    """Writes the log of each case, asks about every prefix of it, and lists where rule and oracle differ."""

    probes: int = 0
    refusals: int = 0
    violations: list[str] = field(default_factory=list)

    def check(self, tx: Transaction, run_id: str, case: Case) -> None:
        now_ms = self._write_log(tx, run_id, case)
        log = tx.events(run_id, limit=100)
        for prefix in range(1, len(log) + 1):
            for request, is_refused in _questions(run_id, log, prefix):
                self._ask(tx, case, prefix, request, is_refused, now_ms)

    def _write_log(self, tx: Transaction, run_id: str, case: Case) -> int:
        opening = [
            write.run_created(),
            write.run_started(),
            write.hook_created(token=run_id),
            write.step_created(),
            write.step_started(),
        ]
        append(tx, Append(run_id, opening), NOW)
        now_ms = NOW
        for count, (letter, step_ms) in enumerate(zip(case.letters, case.steps_ms, strict=True)):
            now_ms += step_ms
            append(tx, _letter(run_id, letter, len(opening) + count), now_ms)
        return now_ms

    def _ask(self, tx: Transaction, case: Case, prefix: int, request: Append, is_refused: bool, now_ms: int) -> None:
        self.probes += 1
        self.refusals += is_refused
        with pytest.raises(Refusal) as caught:
            append(tx, request, now_ms)
        expected = "STALE_SNAPSHOT" if is_refused else "LEASE_LOST"
        if caught.value.reason != expected:
            self.violations.append(f"{case}, prefix {prefix}, {request.snapshot}: {caught.value.reason}")


def _letter(run_id: str, letter: str, head_seq: int) -> Append:
    events = {
        MOVING: write.hook_received,
        RESTING: write.step_started,
        DECISION: lambda: write.attributes_set(a="b"),
    }
    return Append(run_id, [events[letter]()], state_seq=head_seq if letter == DECISION else None)


def _questions(run_id: str, log: list[EventRow], prefix: int) -> Iterator[tuple[Append, bool]]:
    """Yield what a replay of this prefix may send, and whether it must be refused, told by positions alone."""
    beyond = [row.kind for row in log if row.seq > prefix]
    is_behind_fact = event_pb2.EVENT_TYPE_HOOK_RECEIVED in beyond
    is_behind_replay = event_pb2.EVENT_TYPE_ATTRIBUTES_SET in beyond
    decision = [write.step_created("step_b#1")]
    at = log[prefix - 1].at
    # Any time from this event up to the next one names this prefix.
    last_at = log[prefix].at - 1 if beyond else at
    for time in {at, last_at}:
        yield Append(run_id, decision, state_updated_at=time, held_receipts=NOBODY), is_behind_fact
    yield Append(run_id, decision, state_seq=prefix, held_receipts=NOBODY), is_behind_fact or is_behind_replay


async def check_all(book: Book, length_max: int) -> Checker:
    checker = Checker()
    numbered = enumerate(all_cases(length_max))
    while unit := list(itertools.islice(numbered, CASES_A_UNIT)):

        def check_unit(tx: Transaction, unit: list[tuple[int, Case]] = unit) -> None:
            for number, case in unit:
                checker.check(tx, f"run_{number}", case)

        await book.write(check_unit)
    return checker


async def test_the_guard_is_exact_over_all_small_logs(book: Book) -> None:
    # On an engine over a socket each probe costs a round trip; the rule is the same.
    length_max, refusals_min = (LENGTH_MAX, 10_000) if book.engine.backend == "sqlite" else (2, 500)
    checker = await check_all(book, length_max)
    assert checker.violations == []
    assert checker.refusals > refusals_min
    assert checker.probes - checker.refusals > refusals_min


@ON_A_FILE
async def test_without_the_comparison_the_checker_reports_violations(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "compare", lambda snapshot, run: guard.Verdict.FRESH)
    assert any("LEASE_LOST" in violation for violation in (await check_all(book, 2)).violations)


@ON_A_FILE
async def test_without_the_rising_clock_the_checker_reports_violations(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "event_time", lambda now_ms, head_at: max(now_ms, head_at))
    assert any("LEASE_LOST" in violation for violation in (await check_all(book, 2)).violations)
