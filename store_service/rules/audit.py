"""An audit of a whole store: do its logs and rows keep the laws, whatever crashed on the way?

Owns the questions that hold for every run at every moment: seq is dense, times rise, the checksums form a chain, each
entity and run ends once, nothing follows the end, each attempt of a step is numbered from the one before, the rows are
what the log derives (the fifth law), and streams hold what was written. It goes run by run, so that a large store fits
in memory, and must never write. Read ``rebuild.py`` next; ``store_service/auditing.py`` is who asks for people,
``tests/storms`` who asks after every kill.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from holdfast.refusal import Refusal
from holdfast.v1 import event_pb2
from store_service import checksum
from store_service.engines.contract import EntityKind, EntityQuery, EntityRow, EventRow, Reader, RunQuery, RunRow
from store_service.rules import audit_rows, rebuild, stored
from store_service.rules.kinds import KINDS

Event = event_pb2.Event

#: Runs that are listed at a time.
_RUNS_A_PAGE: Final = 500

_ENDS_ENTITY: Final = frozenset(
    (
        event_pb2.EVENT_TYPE_STEP_COMPLETED,
        event_pb2.EVENT_TYPE_STEP_FAILED,
        event_pb2.EVENT_TYPE_HOOK_DISPOSED,
        event_pb2.EVENT_TYPE_HOOK_CONFLICT,
        event_pb2.EVENT_TYPE_WAIT_COMPLETED,
    )
)


@dataclass(frozen=True, slots=True)
class RunAudit:
    """One run: how many events its log has, and every law that is broken in it, in words."""

    run_id: str
    events: int
    findings: tuple[str, ...]


def audit_runs(reader: Reader) -> Iterator[RunAudit]:
    """Audit every run that a reader sees, oldest first."""
    after: tuple[int, str] | None = None
    while page := reader.runs(RunQuery(limit=_RUNS_A_PAGE, descending=False, after=after)):
        yield from (audit_run(reader, row) for row in page)
        after = (page[-1].create_ms, page[-1].run_id)


def audit_run(reader: Reader, row: RunRow) -> RunAudit:
    """Audit one run. A log that cannot be read is a finding, not an error."""
    rows = reader.events(row.run_id, limit=row.head_seq + 1)
    findings = list(_chain(row, rows))
    try:
        findings += _of_run(reader, row, [stored.event_of(it) for it in rows])
    except Refusal as refusal:
        findings.append(str(refusal))
    findings += audit_rows.streams_of(reader, row.run_id)
    return RunAudit(row.run_id, len(rows), tuple(dict.fromkeys(findings)))


def audit_log(log: Sequence[Event]) -> Iterator[str]:
    """Yield what is wrong with one log by itself."""
    yield from _order(log)
    yield from _ends(log)
    yield from _attempts(log)


def _chain(row: RunRow, rows: Sequence[EventRow]) -> Iterator[str]:
    """A log with a hole is told by `_order`; here is what density alone cannot show."""
    for before, after in pairwise([None, *rows]):
        assert after is not None
        try:
            stored.require_next(row.run_id, after.seq, after, before)
        except Refusal as refusal:
            yield str(refusal)
    if rows and checksum.own(rows[-1].checksum) != row.head_checksum:
        yield f"the run row ends with another event than the log, which ends at {rows[-1].seq}"


def _of_run(reader: Reader, row: RunRow, log: Sequence[Event]) -> Iterator[str]:
    yield from audit_log(log)
    if row.head_seq != len(log):
        yield f"the row says that the log ends at {row.head_seq}, it ends at {len(log)}"
        return
    derived = rebuild.derive(log)
    if _comparable_run(derived.run) != _comparable_run(row):
        yield f"the run row is {row}, the log derives {derived.run}"
    if (labels := reader.attributes(row.run_id)) != derived.attributes:
        yield f"the attributes are {labels}, the log derives {derived.attributes}"
    yield from _entities(_entities_of(reader, row), derived.entities)
    for token in derived.tokens:
        if reader.token(token.token) != token:
            yield f"token {token.token} belongs to {reader.token(token.token)}, the log derives {token}"


def _entities(found: Sequence[EntityRow], derived: Sequence[EntityRow]) -> Iterator[str]:
    has = {(it.kind, it.entity_id): it for it in found}
    wants = {(it.kind, it.entity_id): it for it in derived}
    for key in sorted(has.keys() | wants.keys()):
        if has.get(key) != wants.get(key):
            yield f"the row of {key} is {has.get(key)}, the log derives {wants.get(key)}"


def _entities_of(reader: Reader, row: RunRow) -> list[EntityRow]:
    # A run has at most one entity for each of its events.
    queries = (EntityQuery(kind=kind, limit=row.head_seq + 1, run_id=row.run_id) for kind in EntityKind)
    return [entity for query in queries for entity in reader.entities(query)]


def _comparable_run(row: RunRow) -> tuple[RunRow, object]:
    """A body with maps has more than one serialization, so it is compared as a message; `_chain` has the checksum."""
    return replace(row, body=b"", head_checksum=b""), stored.body_of_run(row)


def _order(log: Sequence[Event]) -> Iterator[str]:
    for place, event in enumerate(log, start=1):
        if event.seq != place:
            yield f"not dense: seq {event.seq} stands at place {place}"
    for before, event in pairwise(log):
        if stored.time_of(event) <= stored.time_of(before):
            yield f"the time of {event.seq} does not rise"
        if event.create_time.ToNanoseconds() < before.create_time.ToNanoseconds():
            yield f"the wall clock of {event.seq} goes back"


def _ends(log: Sequence[Event]) -> Iterator[str]:
    ended: Counter[str] = Counter()
    for event in log:
        if ended[event.correlation_id] and KINDS[event.type].entity is not None:
            yield f"{event.seq}: {event.correlation_id} had ended before"
        if event.type in _ENDS_ENTITY:
            ended[event.correlation_id] += 1
    if any(KINDS[event.type].ends_run for event in log[:-1]):
        yield "the log goes on after the end of the run"


def _attempts(log: Sequence[Event]) -> Iterator[str]:
    last: defaultdict[str, int] = defaultdict(int)
    for event in log:
        if event.type == event_pb2.EVENT_TYPE_STEP_STARTED:
            if event.step_started.attempt != last[event.correlation_id] + 1:
                yield f"{event.seq}: attempt {event.step_started.attempt} of {event.correlation_id} is out of turn"
            last[event.correlation_id] = event.step_started.attempt
