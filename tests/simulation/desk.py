"""The store of a simulation: the real rules on the real SQLite engine in memory, with a way back to every moment.

Owns the database and its savepoints, the virtual time, and what a reader of the run sees. Each call is one transaction
of a deployed store. Must never decide anything that a rule decides. Read ``explorer.py`` for who calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final, NamedTuple

from holdfast.refusal import Refusal
from holdfast.v1 import event_pb2, queue_service_pb2
from store_service.engines.contract import Transaction
from store_service.engines.sqlite.memory import MemoryDatabase
from store_service.engines.sqlite.transaction import SqliteTransaction
from store_service.rules import audit, leases, queue
from store_service.rules.append import Append, Appended, append
from store_service.rules.leases import GiveBack

RUN: Final = "run_simulated"
QUEUE: Final = "simulated"
LEASE_MS: Final = 15_000
BEGIN_MS: Final = 1_700_000_000_000


_MESSAGES: Final = "SELECT state, deliver_ms, receipt, lease_expire_ms FROM messages ORDER BY number"


class Waiting(NamedTuple):
    """What matters of a message."""

    state: int
    deliver_ms: int
    receipt: str
    lease_expire_ms: int | None


class Desk:
    """A store for one run at a time. ``moment`` brings it back to what it was when the block began."""

    def __init__(self) -> None:
        self._database = MemoryDatabase()
        self._session = self._database.session
        self._session.execute("BEGIN")

    def close(self) -> None:
        self._session.execute("ROLLBACK")
        self._database.close()

    @contextmanager
    def moment(self) -> Iterator[None]:
        """Undo at the end everything that the block did."""
        self._session.execute("SAVEPOINT moment")
        try:
            yield
        finally:
            self._session.execute("ROLLBACK TO moment")
            self._session.execute("RELEASE moment")

    @property
    def tx(self) -> Transaction:
        return SqliteTransaction(self._session)

    def append(self, request: Append, now_ms: int) -> Appended | Refusal:
        """Append as one transaction: a refusal leaves no trace."""
        self._session.execute("SAVEPOINT unit")
        try:
            answer: Appended | Refusal = append(self.tx, request, now_ms)
        except Refusal as refusal:
            self._session.execute("ROLLBACK TO unit")
            answer = refusal
        self._session.execute("RELEASE unit")
        return answer

    def messages(self) -> list[Waiting]:
        """Return the messages of the run, by their sending. Read from the table: this is asked in every moment."""
        return [Waiting(*row) for row in self._session.all(_MESSAGES)]

    def claim(self, now_ms: int) -> str:
        """Return the receipt of a delivery of the run; "" when nothing can be delivered."""
        messages = queue.claim(self.tx, [QUEUE], 1, LEASE_MS, now_ms)
        return messages[0].receipt if messages else ""

    def is_held(self, receipt: str) -> bool:
        return self.tx.leased_message(receipt) is not None

    def end_lease(self, receipt: str, now_ms: int) -> None:
        """Let the time of a lease be over: its holder is dead, or its renewals do not arrive."""
        row = self.tx.leased_message(receipt)
        if row is not None:
            self.tx.put_message(replace(row, lease_expire_ms=now_ms))

    def renew(self, receipt: str, now_ms: int) -> None:
        leases.extend_many(self.tx, [receipt], LEASE_MS, now_ms)

    def acknowledge(self, receipt: str, now_ms: int) -> None:
        leases.ack_many(self.tx, [receipt], now_ms)

    def give_back(self, receipt: str, delay_ms: int, now_ms: int) -> None:
        wish = GiveBack(queue_service_pb2.NACK_ACTION_RELEASE, delay_ms)
        leases.nack_many(self.tx, [receipt], wish, now_ms)

    def log_after(self, seq: int) -> list[event_pb2.Event]:
        return [event_pb2.Event.FromString(row.body) for row in self.tx.events(RUN, after_seq=seq, limit=1000)]

    def findings(self) -> list[str]:
        """Return every law that the store's own audit finds broken."""
        return [finding for it in audit.audit_runs(self.tx) for finding in it.findings]
