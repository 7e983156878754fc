"""Who wrote a chunk, and whether what they wrote counts.

Owns the one question about an attempt of a step that streams ask: does it count (it succeeded), is it void (it failed,
or a newer attempt began), or is that still open. The answer comes from the step's row, never from the stream, so that
nothing has to be written when an attempt fails. Read ``streams.py`` and ``stream_reading.py`` for who asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from holdfast.v1 import entity_pb2, stream_service_pb2
from store_service.engines.contract import EntityKind, Reader
from store_service.rules import stored


@dataclass(frozen=True, slots=True)
class Author:
    """An attempt of a step; step "" is nobody."""

    run_id: str = ""
    step_id: str = ""
    attempt: int = 0

    def to_message(self, stream_run_id: str) -> stream_service_pb2.StreamAuthor:
        """Return the message; the run is left out when it is the stream's own."""
        run_id = "" if self.run_id == stream_run_id else self.run_id
        return stream_service_pb2.StreamAuthor(step_id=self.step_id, attempt=self.attempt, run_id=run_id)


NOBODY: Final = Author()


def author_of(message: stream_service_pb2.StreamAuthor, stream_run_id: str) -> Author:
    """Return the author that a request names; without a run it is a step of the stream's own."""
    return Author(message.run_id or stream_run_id, message.step_id, message.attempt) if message.step_id else NOBODY


class Verdict(Enum):
    """Whether what an attempt wrote counts."""

    COUNTS = 1
    VOID = 2
    OPEN = 3


def step_of(reader: Reader, author: Author) -> entity_pb2.Step | None:
    """Return the step of an author as it is now, None when there is none."""
    if not author.step_id:
        return None
    row = reader.entity(author.run_id, EntityKind.STEP, author.step_id)
    if row is None:
        return None
    step = stored.entity_of(row)
    assert isinstance(step, entity_pb2.Step)
    step.status = entity_pb2.StepStatus.ValueType(row.status)
    return step


def is_running(step: entity_pb2.Step, attempt: int) -> bool:
    """Tell whether this attempt of the step is the one that runs."""
    return step.status == entity_pb2.STEP_STATUS_RUNNING and step.attempt == attempt


def is_superseded(reader: Reader, author: Author) -> bool:
    """Tell whether a newer attempt of the author's step has begun."""
    step = step_of(reader, author)
    return step is not None and step.attempt > author.attempt


def judge(reader: Reader, author: Author) -> Verdict:
    """Return whether what the author wrote counts. Nobody's chunks do, and those of a step deleted with its run."""
    step = step_of(reader, author)
    if step is None:
        return Verdict.COUNTS
    if is_running(step, author.attempt):
        return Verdict.OPEN
    has_succeeded = step.status == entity_pb2.STEP_STATUS_COMPLETED and step.attempt == author.attempt
    return Verdict.COUNTS if has_succeeded else Verdict.VOID
