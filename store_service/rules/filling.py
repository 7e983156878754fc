"""Rows as people and programs see them: a run, step, hook or wait with its payloads in the view asked for.

Owns where a payload comes from: rows keep type and size only, the bodies are in the events at the seqs that the row
names. So a view without bodies costs no further read, and one with bodies reads at most two events a row. It must
never change a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from holdfast.v1 import entity_pb2, event_pb2
from store_service.engines.contract import EntityRow, Reader, RunRow
from store_service.rules import stored, views
from store_service.rules.kinds import KINDS
from store_service.rules.stored import EntityMessage
from store_service.rules.views import View

#: Arm of an event → the fields of its run or entity that it fills, by the name they have in both.
_FILLED_BY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "run_created": "input",
        "run_completed": "output",
        "run_failed": "failure",
        "step_created": "input",
        "step_completed": "output",
        "step_failed": "failure",
        "step_retrying": "failure",
        "hook_created": "metadata",
    }
)


def run(reader: Reader, row: RunRow, view: View) -> entity_pb2.Run:
    """Return a run in ``view``; UNSPECIFIED means as stored."""
    message = stored.run_of(row)
    if view != views.OMITTED:
        for seq in (1, row.terminal_seq):
            _fill(reader, row.run_id, seq, message)
    return views.show_run(message, view)


def entity(reader: Reader, row: EntityRow, view: View) -> EntityMessage:
    """Return a step, hook or wait in ``view``; UNSPECIFIED means as stored."""
    message = stored.entity_of(row)
    if view != views.OMITTED and not isinstance(message, entity_pb2.Wait):
        # The newest event is the terminal one, or the retry whose failure still shows.
        for seq in dict.fromkeys((row.created_seq, row.current_seq)):
            _fill(reader, row.run_id, seq, message)
    return views.show_entity(message, view)


def _fill(reader: Reader, run_id: str, seq: int, message: Any) -> None:
    """Put the payload of an event into the message, where the message shows that field at all."""
    if not seq:
        return
    event = _event(reader, run_id, seq)
    arm = KINDS[event.type].arm
    name = _FILLED_BY.get(arm)
    if name is None or name not in message.DESCRIPTOR.fields_by_name or not message.HasField(name):
        return
    getattr(message, name).CopyFrom(getattr(getattr(event, arm), name))


def _event(reader: Reader, run_id: str, seq: int) -> event_pb2.Event:
    row = reader.event(run_id, seq)
    if row is None:
        raise stored.corrupt(run_id, f"event {seq} is missing", seq=seq)
    return stored.event_of(row)
