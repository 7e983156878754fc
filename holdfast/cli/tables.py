"""Tables for people, drawn with rich: runs, one run with what is open.

Only called when the output is not JSON; rich is imported here and nowhere else in the commands. Rows come
from messages, words from ``rendering.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from holdfast.cli.rendering import brief, enum_word, local_time, payload_text
from holdfast.v1 import entity_pb2, runtime_service_pb2


def print_runs(runs: Iterable[entity_pb2.Run]) -> None:
    """Print one row a run."""
    rows = [
        (run.run_id, run.workflow_name, _run_status(run), local_time(run.create_time), _attributes(run.attributes))
        for run in runs
    ]
    _print(_table(("run", "workflow", "status", "created", "attributes"), rows))


def print_description(answer: runtime_service_pb2.DescribeRunResponse) -> None:
    """Print a run, then its open steps, hooks and waits."""
    _print(_table(("", ""), _facts(answer.run), has_header=False))
    if answer.open_steps:
        _print(_table(("step", "name", "status", "attempt", "next"), map(_step_row, answer.open_steps)))
    if answer.open_hooks:
        _print(_table(("hook", "token", "received"), map(_hook_row, answer.open_hooks)))
    if answer.open_waits:
        _print(_table(("wait", "fires at"), map(_wait_row, answer.open_waits)))
    if answer.truncated:
        _print("… and more; list them with StoreService.ListSteps, ListHooks, ListWaits")
    if answer.HasField("last_replay_failure"):
        _print(f"blocked: {answer.last_replay_failure.message}")


def _facts(run: entity_pb2.Run) -> list[tuple[str, str]]:
    facts = [
        ("run", run.run_id),
        ("workflow", f"{run.workflow_name} {run.version}".rstrip()),
        ("status", _run_status(run)),
        ("attributes", _attributes(run.attributes)),
        ("input", brief(payload_text(run.input), 400) if run.HasField("input") else ""),
        ("output", brief(payload_text(run.output), 400) if run.HasField("output") else ""),
        ("failure", f"{run.failure.type}: {run.failure.message}" if run.HasField("failure") else ""),
        ("cancelled", run.cancel_reason),
        ("created", local_time(run.create_time)),
        ("started", local_time(run.start_time)),
        ("ended", local_time(run.complete_time)),
        ("events", str(run.guard.head_seq)),
    ]
    return [(name, value) for name, value in facts if value not in ("", "-")]


def _step_row(step: entity_pb2.Step) -> Sequence[object]:
    status = enum_word(entity_pb2.StepStatus, step.status)
    return step.step_id, step.step_name, status, step.attempt, local_time(step.retry_time)


def _hook_row(hook: entity_pb2.Hook) -> Sequence[object]:
    return hook.hook_id, hook.token, hook.received_count


def _wait_row(wait: entity_pb2.Wait) -> Sequence[object]:
    return wait.wait_id, local_time(wait.resume_time)


def _run_status(run: entity_pb2.Run) -> str:
    return enum_word(entity_pb2.RunStatus, run.status)


def _attributes(attributes: Any) -> str:
    return " ".join(f"{key}={value}" for key, value in sorted(attributes.items()))


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, has_header: bool = True) -> Table:
    table = Table(box=None, pad_edge=False, show_header=has_header, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    return table


def _print(what: Table | str) -> None:
    Console(highlight=False, soft_wrap=isinstance(what, str), markup=False).print(what)
