"""Golden histories: the log of a run, kept in a file and replayed against today's code.

Owns the file format, one proto-JSON event a line, which is also what ``holdfast events RUN --json`` prints. A history
that no longer replays says which call the code makes now, which one was recorded, and where. Must never change a file
that exists: what ran once has run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from holdfast.definitions import WorkflowDefinition, definition_of, registry
from holdfast.testing.services import replay_log
from holdfast.v1 import event_pb2

Workflow = Callable[..., Coroutine[Any, Any, Any]]
Source = str | os.PathLike[str] | Sequence[event_pb2.Event]


def write_history(path: str | os.PathLike[str], events: Iterable[event_pb2.Event]) -> None:
    """Write a log to a new file. Raises FileExistsError."""
    lines = [json_format.MessageToJson(event, indent=None) for event in events]
    with Path(path).open("x", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


def read_history(path: str | os.PathLike[str]) -> list[event_pb2.Event]:
    """Read a log from a file. Raises ValueError that names the line when it is no event."""
    events = []
    for number, line in enumerate(Path(path).read_text("utf-8").splitlines(), start=1):
        try:
            events.append(json_format.Parse(line, event_pb2.Event()))
        except json_format.ParseError as error:
            raise ValueError(f"{os.fspath(path)}:{number} is no event: {error}") from error
    return events


def replay_history(history: Source, workflow: Workflow | str | None = None) -> None:
    """Replay a log, or the file of one, against a workflow: by default the one of the name it was recorded under.

    Returns when code and log agree to the end of the log. Raises ReplayDivergence that names both calls,
    NotDeterministic, NotRegistered, and ValueError for what is no log. Nothing is written and no step runs.
    """
    events = list(history) if not isinstance(history, str | os.PathLike) else read_history(history)
    if not events or not events[0].HasField("run_created"):
        raise ValueError("a history begins with run_created, this one does not: keep the whole log of the run")
    replay_log(_definition(workflow, events[0].run_created.workflow_name), events)


def _definition(workflow: Workflow | str | None, recorded_name: str) -> WorkflowDefinition:
    if workflow is None or isinstance(workflow, str):
        return registry.workflow(workflow or recorded_name)
    definition = definition_of(workflow)
    if not isinstance(definition, WorkflowDefinition):
        raise TypeError(f"expected a function with @workflow or the name of one, got {workflow!r}")
    return definition
