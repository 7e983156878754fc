"""From one try to an answer: conflicts, lost connections and commits whose outcome is unknown.

Owns how often and how long a batch is tried. A conflict is tried again after a pause that grows and varies; what meets
an error in company is tried alone, so that one unit's bug or bad luck is its own. A connection lost before the COMMIT
left is nothing: the units run again on a new one. Lost after it, the database is asked what became of the batch
(``_was_committed``), so that nothing is written twice and nothing is told lost that was written. Limits are in
milliseconds of the steady clock; a caller never waits beyond them.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import psycopg

from store_service.engines.postgres import failures, statements
from store_service.engines.postgres.commit import Flight, Job, Sender, commit_together
from store_service.engines.postgres.failures import Failure, failure_of
from store_service.engines.postgres.lane import Line
from store_service.engines.waiting import Outcome

#: Conflicts in company before each unit is tried alone, and tries of one that is alone.
TRIES_TOGETHER: Final = 2
TRIES_ALONE: Final = 8
#: The pause after the n-th conflict lies between nothing and this times 2ⁿ, at most PAUSE_MS_MAX.
PAUSE_MS: Final = 2
PAUSE_MS_MAX: Final = 200
#: How long a server that is away is waited for: a restart or a failover fits.
AWAY_MS_MAX: Final = 8_000
#: Pause between two tries to connect.
RECONNECT_MS: Final = 100
#: Beyond this an outcome is not asked for: the proof may have been forgotten (FORGET_ANNOUNCEMENTS, 15 minutes).
ASKABLE_MS_MAX: Final = 300_000


@dataclass(slots=True)
class Tries:
    """What was tried so far for one batch, or one unit of it."""

    conflicts: int = 0
    away_since: float | None = None

    def pause_after_conflict(self) -> None:
        self.conflicts += 1
        most_ms = min(PAUSE_MS_MAX, PAUSE_MS * 2**self.conflicts)
        time.sleep(random.uniform(0, most_ms) / 1000)

    def is_away_too_long(self) -> bool:
        """Note that the server is away; tell whether it was for too long."""
        now = time.monotonic()
        self.away_since = self.away_since or now
        return (now - self.away_since) * 1000 > AWAY_MS_MAX


def commit_surely(line: Line, jobs: Sequence[Job], sender: Sender) -> list[Outcome]:
    """Commit a batch and return one outcome a unit, whatever it takes within the limits. Raises nothing of psycopg."""
    tries = Tries()
    while True:
        flight = Flight(batch_id=secrets.token_hex(16))
        began = time.monotonic()
        try:
            commit_together(line.session(), jobs, sender, flight)
            return flight.outcomes
        except psycopg.Error as error:
            answer = _after(error, line, jobs, sender, flight, tries, began)
            if answer is not None:
                return answer


def _after(
    error: psycopg.Error,
    line: Line,
    jobs: Sequence[Job],
    sender: Sender,
    flight: Flight,
    tries: Tries,
    began: float,
) -> list[Outcome] | None:
    """Return the answer after an error, None to try again."""
    failure = failure_of(error)
    if failure is not Failure.LOST:
        failure = _rested(line, failure)
    if failure is Failure.LOST:
        line.drop()
        return _after_loss(error, line, jobs, sender, flight, tries, began)
    is_last = tries.conflicts >= (TRIES_ALONE if len(jobs) == 1 else TRIES_TOGETHER) - 1
    if failure is Failure.CONFLICT and not is_last:
        tries.pause_after_conflict()
        return None
    if len(jobs) > 1:
        return [outcome for job in jobs for outcome in commit_surely(line, [job], sender)]
    return [Outcome(error=failures.conflict(error) if failure is Failure.CONFLICT else error)]


def _rested(line: Line, failure: Failure) -> Failure:
    """Leave the failed transaction behind; the connection may turn out to be lost as well."""
    try:
        line.session().rest()
    except psycopg.Error:
        return Failure.LOST
    return failure


def _after_loss(
    error: psycopg.Error,
    line: Line,
    jobs: Sequence[Job],
    sender: Sender,
    flight: Flight,
    tries: Tries,
    began: float,
) -> list[Outcome] | None:
    if flight.is_committing and flight.has_written:
        was_committed = _was_committed(line, flight, sender, began, tries)
        if was_committed is None:
            return [Outcome(error=failures.outcome_unknown(error)) for _ in jobs]
        return flight.outcomes if was_committed else None
    if tries.is_away_too_long():
        return [Outcome(error=failures.not_reached(error)) for _ in jobs]
    time.sleep(RECONNECT_MS / 1000)
    return None


def _was_committed(line: Line, flight: Flight, sender: Sender, began: float, tries: Tries) -> bool | None:
    """Find out what became of a batch whose COMMIT was under way; None when it cannot be found out in time.

    Looking for its row would not do: (1) the connection breaks after everything was sent; (2) we look, and the row is
    not there; (3) the old backend, which waited for a lock or for the network, goes on and commits; (4) we write all of
    it again. So the key of the row is taken: the insert waits for a backend that has it under way, fails when that
    commits, and when it succeeds the old backend can never commit, because its own insert must fail. Proof:
    ``tests/postgres/test_unknown_outcomes.py``.
    """
    while (time.monotonic() - began) * 1000 < ASKABLE_MS_MAX:
        try:
            line.session().send(statements.GIVE_UP, (flight.batch_id, sender.replica))
            return False
        except psycopg.errors.UniqueViolation:
            return True
        except psycopg.Error as error:
            if failure_of(error) is Failure.LOST:
                line.drop()
            if tries.is_away_too_long():
                return None
            time.sleep(RECONNECT_MS / 1000)
    return None
