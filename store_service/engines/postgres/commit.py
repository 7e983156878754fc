"""Group commit: many units of work, one transaction, one durable commit.

Runs on a lane's thread. A batch is two flights when no unit asks for more than it said it would: locks and rows, then
every write, the positions, the announcement and the COMMIT. A unit that raises leaves no trace and disturbs nobody:
what it wrote was never sent, or is taken back to its savepoint. An error of the database ends the whole batch;
``retry.py`` decides what then. Notes go to other replicas with the commit (``announcements.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from store_service.engines.contract import Needs, Transaction
from store_service.engines.postgres import statements
from store_service.engines.postgres.announcements import pack
from store_service.engines.postgres.batch import Batch
from store_service.engines.postgres.connection import Session
from store_service.engines.postgres.stream_transaction import PostgresTransaction
from store_service.engines.waiting import Outcome, carriable

Unit = Callable[[Transaction], Any]


@dataclass(frozen=True, slots=True)
class Job:
    """A unit of work and what it will ask for."""

    unit: Unit
    needs: Needs | None = None


@dataclass(frozen=True, slots=True)
class Sender:
    """Who commits, and the channel on which others are told to look ("": nobody is told)."""

    replica: str
    channel: str


@dataclass(slots=True)
class Flight:
    """One try at committing a batch, as far as it came. ``batch_id`` names it in ``announcements``.

    ``is_committing`` is set before the COMMIT leaves: from then on only the database knows what became of it.
    """

    batch_id: str
    is_committing: bool = False
    has_written: bool = False
    outcomes: list[Outcome] = field(default_factory=list)


def commit_together(session: Session, jobs: Sequence[Job], sender: Sender, flight: Flight) -> None:
    """Run the units in order and commit them at once; ``flight.outcomes`` then has one for each.

    Returns after the commit is durable. Raises psycopg.Error when it was not confirmed.
    """
    committed: psycopg.Cursor[Any] | None = None
    try:
        with session.pipeline():
            _fly(session, jobs, sender, flight)
            flight.is_committing = True
            committed = session.ask(statements.COMMIT)
            if flight.has_written and sender.channel:
                # After the COMMIT: a NOTIFY inside the transaction would take a lock that every other one wants.
                session.send(statements.HINT, (sender.channel, sender.replica))
    except psycopg.Error:
        # The hint may fail, or the connection after the answer: what was confirmed is confirmed.
        if committed is None or committed.statusmessage != statements.COMMIT:
            raise
    assert committed is not None
    if committed.statusmessage != statements.COMMIT:
        # What a server says to the COMMIT of a transaction that has failed.
        raise psycopg.InternalError(f"the COMMIT of a batch was answered with {committed.statusmessage}")


def _fly(session: Session, jobs: Sequence[Job], sender: Sender, flight: Flight) -> None:
    """Everything up to the COMMIT."""
    session.send(statements.BEGIN)
    batch = Batch(session)
    batch.fetch([job.needs for job in jobs if job.needs is not None])
    flight.outcomes = [_run(batch, job.unit) for job in jobs]
    batch.send_pending()
    flight.has_written = batch.has_written or bool(batch.notes)
    if flight.has_written:
        _announce(batch, sender, flight)


def _announce(batch: Batch, sender: Sender, flight: Flight) -> None:
    """Positions and notes, at the very end: the lock they take is held for the length of the commit alone."""
    batch.place(batch.writes, announcements=1)
    batch.session.send(statements.ANNOUNCE, (flight.batch_id, sender.replica, pack(batch.notes)))


def _run(batch: Batch, unit: Unit) -> Outcome:
    transaction = PostgresTransaction(batch)
    try:
        value = unit(transaction)
    except psycopg.Error:
        # The transaction has failed with it: the batch ends here.
        raise
    except BaseException as exc:
        transaction.undo()
        return Outcome(error=carriable(exc))
    transaction.keep()
    return Outcome(value=value, notes=transaction.notes)
