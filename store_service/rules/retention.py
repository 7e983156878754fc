"""Deleting runs that ended, with everything they have.

Owns DeleteRuns. Open runs refuse the whole call, before anything is deleted; then it goes in small units, so that no
append waits for long. A run that ended stays ended, and a call that was cut off may be repeated. It remembers the
highest position that was deleted, so that a store-wide cursor from before it is told CURSOR_EXPIRED instead of silently
missing events; a position is never given twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from holdfast.refusal import Refusal
from holdfast.v1 import error_pb2, event_pb2
from store_service.engines.contract import DeletedNote, Reader, RunRow, Transaction
from store_service.rules import refusals

#: The store's own value: the highest store-wide position that a deletion took away.
DELETED_POSITION: Final = "deleted_position"

#: Runs deleted in one unit of work. On PostgreSQL a run takes three milliseconds, and appends wait for a whole unit.
_UNIT_RUNS: Final = 5


def require_ended(reader: Reader, run_ids: Sequence[str]) -> None:
    """Raise Refusal ILLEGAL_TRANSITION when one of the runs is still open; unknown ids are passed over."""
    for run_id in run_ids:
        if (row := reader.run(run_id)) is not None and not row.terminal_seq:
            raise _still_open(row)


def in_units(run_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the runs of a call, each once, in units that are deleted one after the other."""
    each = list(dict.fromkeys(run_ids))
    yield from (each[start : start + _UNIT_RUNS] for start in range(0, len(each), _UNIT_RUNS))


def delete_runs(tx: Transaction, run_ids: Sequence[str]) -> int:
    """Delete ended runs, all or none, and return how many there were; unknown ids are not counted.

    Raises Refusal ILLEGAL_TRANSITION when one of them is still open.
    """
    found = [row for run_id in dict.fromkeys(run_ids) if (row := tx.run(run_id)) is not None]
    for row in found:
        if not row.terminal_seq:
            raise _still_open(row)
    deleted = int(tx.meta(DELETED_POSITION) or 0)
    for row in found:
        deleted = max(deleted, tx.delete_run(row.run_id))
        tx.note(DeletedNote(row.run_id))
    if found:
        tx.set_meta(DELETED_POSITION, str(deleted))
    return len(found)


def _still_open(row: RunRow) -> Refusal:
    state = refusals.status_name(None, row.status)
    return Refusal(
        "ILLEGAL_TRANSITION",
        f"run {row.run_id} is {state} at event {row.head_seq} and cannot be deleted: cancel it first",
        metadata={"run_id": row.run_id, "current_status": state, "current_seq": row.head_seq},
        detail=error_pb2.IllegalTransition(
            run_id=row.run_id,
            attempted=event_pb2.EVENT_TYPE_UNSPECIFIED,
            current_status=state,
            current_seq=row.head_seq,
        ),
    )
