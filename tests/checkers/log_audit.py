"""The audit of a store's file, with everything that a storm wants to ask afterwards: logs and waiting messages too.

The laws are those of ``store_service/rules/audit.py``, which people reach by `holdfast audit`. The store must not be
running: the engine is opened as a store would. Read ``tests/storms`` for who asks.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from holdfast.v1 import event_pb2
from store_service.engines import open_engine
from store_service.engines.contract import MessageQuery, Reader
from store_service.rules import rebuild
from store_service.rules.audit import audit_runs
from tests.checkers.liveness import stuck_runs

Event = event_pb2.Event

_PAGE = 100_000


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found: the logs of sound runs, messages that still wait in queues, and every law that was broken."""

    logs: dict[str, list[Event]]
    messages: list[str]
    findings: list[str]


async def audit_file(path: Path) -> Audit:
    """Audit the SQLite file of a store that is not running."""
    return await audit_database(f"sqlite:///{path}")


async def audit_database(url: str) -> Audit:
    """Audit the database of a store that is not running."""
    engine = await open_engine(url)
    try:
        return await engine.read(partial(audit, now_ms=int(time.time() * 1000)))
    finally:
        await engine.close()


def audit(reader: Reader, now_ms: int) -> Audit:
    """Audit everything that a reader sees: the laws, and that every open run has something that will move it."""
    runs = list(audit_runs(reader))
    logs = {it.run_id: rebuild.read_log(reader, it.run_id, _PAGE) for it in runs if not it.findings}
    findings = [f"{it.run_id}: {finding}" for it in runs for finding in it.findings]
    findings += stuck_runs(reader, now_ms)
    queues = reader.queue_names(after="", limit=_PAGE)
    waiting = [it for queue in queues for it in reader.messages(MessageQuery(queue=queue, limit=_PAGE))]
    return Audit(logs, [f"{it.queue} {it.group} {it.key}" for it in waiting], findings)
