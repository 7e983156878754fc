"""Rows derived from a log: the fifth law, the other way round.

Owns `derive`, which applies the table of ``projection.py`` to a whole log and gives the rows that the store must
hold for it (`tests/rules/test_rows_are_derived.py`). It reads no rows, so nothing that is wrong in them can hide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.v1 import event_pb2
from store_service.engines.contract import EntityKind, EntityRow, Reader, RunRow, TokenRow
from store_service.rules import projection, stored
from store_service.rules.draft import Draft


@dataclass(frozen=True, slots=True)
class Derived:
    """The rows of one run: in order of first appearance. ``tokens`` are those that open hooks hold."""

    run: RunRow
    entities: list[EntityRow]
    tokens: list[TokenRow]
    attributes: dict[str, str]


class _Nothing:
    """A source without rows: everything comes from the events."""

    def entity(self, run_id: str, kind: EntityKind, entity_id: str) -> EntityRow | None:
        return None

    def open_entities(self, run_id: str) -> list[EntityRow]:
        return []


def derive(events: Sequence[event_pb2.Event]) -> Derived:
    """Return the rows that a whole log of one run gives. Raises Refusal CORRUPT_LOG when it is not dense from 1."""
    run = Draft(events[0].run_id, _Nothing())
    for event in events:
        if event.seq != run.head_seq + 1:
            raise stored.corrupt(run.run_id, f"event {run.head_seq + 1} is missing; {event.seq} follows")
        projection.apply(run, event, stored.time_of(event))
    return Derived(
        run=run.to_row(),
        entities=[entity.to_row(run.run_id) for entity in run.touched.values()],
        tokens=[owner for owner in run.tokens.values() if owner is not None],
        attributes=dict(run.run.attributes),
    )


def read_log(reader: Reader, run_id: str, head_seq: int) -> list[event_pb2.Event]:
    """Return the whole log of a run as stored. Raises Refusal CORRUPT_LOG."""
    rows = reader.events(run_id, limit=head_seq)
    stored.require_chain(run_id, 0, rows)
    return [stored.event_of(row) for row in rows]
