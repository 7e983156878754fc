"""An audit of a whole store: do its logs and rows keep the laws, whatever crashed on the way?

Owns the questions that hold for every run at every moment: seq is dense, times rise, each entity and run ends once,
nothing follows the end, each attempt of a step is numbered from the one before, and the rows are what the log derives
(the fifth law). It reads a closed or live SQLite file through the engine and must never write. Read
``tests/storms`` for who asks.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from holdfast.v1 import event_pb2
from store_service.engines import open_engine
from store_service.engines.contract import EntityKind, EntityQuery, MessageQuery, Reader, RunQuery, RunRow
from store_service.rules import rebuild, stored
from store_service.rules.kinds import KINDS

Event = event_pb2.Event

_PAGE = 100_000

_ENDS_ENTITY = frozenset(
    (
        event_pb2.EVENT_TYPE_STEP_COMPLETED,
        event_pb2.EVENT_TYPE_STEP_FAILED,
        event_pb2.EVENT_TYPE_HOOK_DISPOSED,
        event_pb2.EVENT_TYPE_HOOK_CONFLICT,
        event_pb2.EVENT_TYPE_WAIT_COMPLETED,
    )
)


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found: the logs by run, messages that still wait in queues, and every law that was broken."""

    logs: dict[str, list[Event]]
    messages: list[str]
    findings: list[str]


async def audit_file(path: Path) -> Audit:
    """Audit the SQLite file of a store that is not running."""
    engine = await open_engine(f"sqlite:///{path}")
    try:
        return await engine.read(audit)
    finally:
        await engine.close()


def audit(reader: Reader) -> Audit:
    """Audit everything that a reader sees."""
    logs: dict[str, list[Event]] = {}
    findings: list[str] = []
    for row in reader.runs(RunQuery(limit=_PAGE)):
        log = logs[row.run_id] = rebuild.read_log(reader, row.run_id, _PAGE)
        findings.extend(f"{row.run_id}: {finding}" for finding in _audit_run(reader, row, log))
    queues = reader.queue_names(after="", limit=_PAGE)
    waiting = [it for queue in queues for it in reader.messages(MessageQuery(queue=queue, limit=_PAGE))]
    return Audit(logs, [f"{it.queue} {it.group} {it.key}" for it in waiting], findings)


def audit_log(log: Sequence[Event]) -> Iterator[str]:
    """Yield what is wrong with one log by itself."""
    yield from _order(log)
    yield from _ends(log)
    yield from _attempts(log)


def _audit_run(reader: Reader, row: RunRow, log: Sequence[Event]) -> Iterator[str]:
    yield from audit_log(log)
    if row.head_seq != len(log):
        yield f"the row says that the log ends at {row.head_seq}, it ends at {len(log)}"
        return
    derived = rebuild.derive(log)
    if _comparable_run(derived.run) != _comparable_run(row):
        yield f"the run row is {row}, the log derives {derived.run}"
    found = {
        (it.kind, it.entity_id): it
        for kind in EntityKind
        for it in reader.entities(EntityQuery(kind=kind, limit=_PAGE, run_id=row.run_id))
    }
    wanted = {(it.kind, it.entity_id): it for it in derived.entities}
    for key in found.keys() | wanted.keys():
        if found.get(key) != wanted.get(key):
            yield f"the row of {key} is {found.get(key)}, the log derives {wanted.get(key)}"
    for token in derived.tokens:
        if reader.token(token.token) != token:
            yield f"token {token.token} belongs to {reader.token(token.token)}, the log derives {token}"


def _comparable_run(row: RunRow) -> tuple[RunRow, object]:
    """A body with maps has more than one serialization, so it is compared as a message."""
    return replace(row, body=b""), stored.body_of_run(row)


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
