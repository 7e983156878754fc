"""What the units of one transaction share: rows that are known, writes that wait, locks that are held.

Owns the two ideas that make an append cheap. *Known rows*: a row that was read under a lock, or written here, is exact
until the commit, so it is never read again; ``None`` is the knowledge that there is none. *Pending writes*: nothing is
sent before somebody asks for rows that depend on it, and most units never do, so a batch of appends is two flights:
locks and rows, then every write and the commit. It must never decide anything. Read ``transaction.py`` next.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from store_service.engines.contract import Needs, Note
from store_service.engines.postgres import queue_statements, rows, statements
from store_service.engines.postgres.connection import Parameters, Session
from store_service.engines.postgres.statements import COMMON
from store_service.engines.sql import columns

#: What a known row is known under: its table and its key.
Key = tuple[object, ...]
#: A group of a queue.
Group = tuple[str, str]

UNKNOWN: Final = object()


@dataclass(slots=True)
class Writes:
    """Statements in order, and what they are about: who asks for rows knows from it whether they must go first.

    ``groups`` have changed messages, so their heads are to be chosen anew. ``placed`` are new events, as (run id, first
    seq, last seq), in order.
    """

    statements: list[tuple[str, Parameters]] = field(default_factory=list)
    groups: dict[Group, None] = field(default_factory=dict)
    keys: set[tuple[str, str]] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)
    placed: list[tuple[str, int, int]] = field(default_factory=list)

    def add(self, sql: str, *parameters: object) -> None:
        self.statements.append((sql, parameters))

    def place(self, run_id: str, seq: int) -> None:
        """Note a new event; those of a run that follow each other share a placement."""
        if self.placed and self.placed[-1][0] == run_id and self.placed[-1][2] + 1 == seq:
            self.placed[-1] = (run_id, self.placed[-1][1], seq)
        else:
            self.placed.append((run_id, seq, seq))

    def extend(self, other: Writes) -> None:
        self.statements += other.statements
        self.groups.update(other.groups)
        self.keys |= other.keys
        self.runs |= other.runs
        self.placed += other.placed


@dataclass(slots=True)
class Batch:
    """The state of one transaction between its BEGIN and its COMMIT."""

    session: Session
    known: dict[Key, Any] = field(default_factory=dict)
    writes: Writes = field(default_factory=Writes)
    held_groups: set[Group] = field(default_factory=set)
    notes: list[Note] = field(default_factory=list)
    has_written: bool = False

    def fetch(self, needs: Iterable[Needs]) -> None:
        """Lock and read in one flight what the units will surely ask for."""
        wanted = [need for need in needs if need is not None]
        run_ids = sorted({need.run_id for need in wanted if need.run_id})
        receipts = sorted({receipt for need in wanted for receipt in need.receipts})
        request_ids = sorted({need.request_id for need in wanted if need.request_id})
        entities = sorted({(need.run_id, kind.value, name) for need in wanted for kind, name in need.entities})
        asked = [
            (self.session.ask(sql, (keys,)), learn, keys)
            for sql, learn, keys in (
                (statements.HOLD_RUNS, self._learn_runs, run_ids),
                (queue_statements.HOLD_LEASED_MESSAGES, self._learn_leases, receipts),
                (statements.HOLD_REQUESTS, self._learn_requests, request_ids),
            )
            if keys
        ]
        asked_entities = [(key, self.session.ask(COMMON.ENTITY, key)) for key in entities]
        if asked or asked_entities:
            self.session.sync()
        for cursor, learn, keys in asked:
            learn(cursor.fetchall(), keys)
        for key, cursor in asked_entities:
            found = cursor.fetchone()
            self.known["entity", *key] = None if found is None else columns.entity_row(found)

    def send(self, writes: Writes) -> None:
        """Send writes; groups are locked before their messages change and their heads chosen after.

        Groups in order, so that two batches never wait for each other in a circle.
        """
        self.hold_groups(writes.groups)
        for sql, parameters in writes.statements:
            self.session.send(sql, parameters)
        for queue, group in sorted(writes.groups):
            self.session.send(queue_statements.CHOOSE_HEADS, {"queue": queue, "group": group})
        self.has_written = self.has_written or bool(writes.statements)

    def hold_groups(self, groups: Iterable[Group]) -> None:
        """Lock groups until the commit."""
        for group in sorted(set(groups) - self.held_groups):
            self.session.send(queue_statements.HOLD_GROUP, group)
            self.held_groups.add(group)
            self.has_written = True

    def send_pending(self) -> None:
        """Send what the units before have left to be written."""
        pending, self.writes = self.writes, Writes(placed=self.writes.placed)
        self.send(pending)

    def place(self, writes: Writes, announcements: int = 0) -> list[tuple[str, int, int]]:
        """Give new events their store-wide positions, and return which. Takes the lock that every commit wants."""
        placed, writes.placed = writes.placed, []
        left = sum(last - first + 1 for _, first, last in placed)
        if left or announcements:
            self.session.send(statements.ADVANCE, (left, announcements))
        for run_id, first, last in placed:
            left -= last - first + 1
            self.session.send(statements.PLACE, (run_id, first, last, left))
        return placed

    def _learn_runs(self, found: Sequence[Any], keys: Sequence[str]) -> None:
        self.known.update({("run", run_id): None for run_id in keys})
        self.known.update({("run", values[0]): columns.run_row(values) for values in found})

    def _learn_leases(self, found: Sequence[Any], keys: Sequence[str]) -> None:
        self.known.update({("receipt", receipt): None for receipt in keys})
        for row in map(rows.message_row, found):
            self.known["receipt", row.receipt] = self.known["message", row.message_id] = row

    def _learn_requests(self, found: Sequence[Any], keys: Sequence[str]) -> None:
        self.known.update({("request", request_id): None for request_id in keys})
        self.known.update({("request", values[0]): columns.request_row(values) for values in found})
