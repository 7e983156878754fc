"""What the store itself writes when time is over: a run that timed out fails, a hook that expired closes.

Owns the two events of origin STORE. They go through the same admission, places and projection as everyone's, so a
log never shows them after an end; and they move the marker, so a replay that decided without them is refused. It
must never poll: the caller sleeps until the next due time (ExpiryNote, ``Reader.next_expiry_ms``) and calls
`expire_due`.
"""

from __future__ import annotations

from holdfast.v1 import event_pb2, payload_pb2
from store_service.engines.contract import EntityRow, RunRow, Transaction
from store_service.rules import batch, clock, draft, stored, waking

#: What hook_disposed says of a hook that expired.
EXPIRED = "expired"


def expire_due(tx: Transaction, now_ms: int, limit: int) -> int:
    """Write the events of up to ``limit`` due runs and hooks each, and return how many: 0 when nothing is due.

    Call again until 0 comes back. Runs first: the end of a run closes its hooks.
    """
    runs = tx.expired_runs(now_ms, limit)
    for row in runs:
        _write(tx, row, _timed_out(row), now_ms)
    hooks = tx.expired_hooks(now_ms, limit)
    for hook in hooks:
        owner = tx.run(hook.run_id)
        if owner is None:
            raise stored.corrupt(hook.run_id, f"hook {hook.entity_id} has no run")
        _write(tx, owner, _closed(hook), now_ms)
    return len(runs) + len(hooks)


def _write(tx: Transaction, row: RunRow, event: event_pb2.Event, now_ms: int) -> None:
    run = draft.of_row(row, tx)
    events = batch.admit_all(tx, run, [event], event_pb2.EVENT_ORIGIN_STORE, now_ms)
    batch.commit(tx, run, events)
    waking.wake(tx, run.run, events, False, now_ms)


def _timed_out(row: RunRow) -> event_pb2.Event:
    assert row.expire_ms is not None
    bound_ms = row.expire_ms - row.create_ms
    failure = payload_pb2.Failure(
        type="holdfast.RunTimeout",
        message=f"the run did not end within {bound_ms / 1000:g} s",
        non_retryable=True,
        category=payload_pb2.FAILURE_CATEGORY_TIMEOUT,
    )
    return _event(event_pb2.Event(run_failed=event_pb2.RunFailed(failure=failure)), row.expire_ms)


def _closed(hook: EntityRow) -> event_pb2.Event:
    assert hook.due_ms is not None
    disposed = event_pb2.HookDisposed(reason=EXPIRED)
    return _event(event_pb2.Event(correlation_id=hook.entity_id, hook_disposed=disposed), hook.due_ms)


def _event(event: event_pb2.Event, due_ms: int) -> event_pb2.Event:
    """It happened when it was due, however late the store came to write it."""
    event.occur_time.CopyFrom(clock.to_timestamp(due_ms))
    return event
