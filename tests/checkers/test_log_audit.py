"""The audit sees each broken law, in a real file that somebody tampered with."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from holdfast.v1 import event_pb2, payload_pb2
from store_service.engines import open_engine
from store_service.rules.append import Append, append
from tests.checkers.log_audit import audit_file

Event = event_pb2.Event
NOW = 1_700_000_000_000

TAMPERING = {
    "ends at": "DELETE FROM events WHERE seq = 7",
    "not dense": "DELETE FROM events WHERE seq = 3",
    "the run row is": "UPDATE runs SET out_of_band_seq = 2",
    "the attributes are": "UPDATE attributes SET value = '3' WHERE key = 'a'",
    "the row of": "UPDATE entities SET current_seq = current_seq + 1",
}


def _log() -> list[Event]:
    return [
        Event(run_created=event_pb2.RunCreated(workflow_name="w", attributes={"a": "1", "b": "2"})),
        Event(run_started=event_pb2.RunStarted()),
        Event(correlation_id="step_a#1", step_created=event_pb2.StepCreated(step_name="a")),
        Event(correlation_id="step_a#1", step_started=event_pb2.StepStarted(attempt=1)),
        Event(
            correlation_id="step_a#1",
            step_completed=event_pb2.StepCompleted(attempt=1, output=payload_pb2.Payload(text="1")),
        ),
        Event(correlation_id="hook_#1", hook_created=event_pb2.HookCreated(token="t")),
        Event(run_completed=event_pb2.RunCompleted()),
    ]


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    path = tmp_path / "audit.db"
    engine = await open_engine(f"sqlite:///{path}")
    await engine.write(lambda tx: append(tx, Append("run_1", _log()), NOW))
    await engine.close()
    return path


async def test_a_sound_store_has_no_findings(path: Path) -> None:
    audit = await audit_file(path)
    assert audit.findings == []
    assert len(audit.logs["run_1"]) == 7


@pytest.mark.parametrize("finding", TAMPERING)
async def test_each_broken_law_is_found(path: Path, finding: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(TAMPERING[finding])
    connection.close()
    assert any(finding in told for told in (await audit_file(path)).findings)
