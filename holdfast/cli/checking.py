"""`holdfast check` and `holdfast replay`: whether code and recorded runs agree, before the code is deployed.

Loads modules as a runtime would, replays through ``services.py``, prints what was found. Exit codes: 0 all is well, 1
something must be looked at, 2 wrong use, 3 no store. Nothing is written anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from holdfast.cli.exits import FOUND
from holdfast.cli.options import AsJson, RunId, Token

if TYPE_CHECKING:
    from holdfast.cli.services import Group, Report, Told
    from holdfast.definitions import StepDefinition, WorkflowDefinition
    from holdfast.validation import Problem

Modules = Annotated[list[str], typer.Argument(metavar="MODULE_OR_FILE...", help="Where the workflows are.")]

#: Runs of one group that are named for people.
_SHOWN_RUNS: Final = 10


def check(
    modules: Modules,
    against: Annotated[
        str, typer.Option(metavar="STORE", help="Address of a store whose runs are replayed, HOST:PORT.")
    ] = "",
    sample: Annotated[int, typer.Option(min=0, help="Ended runs to replay, the newest of each workflow.")] = 20,
    ignore_unknown: Annotated[
        bool, typer.Option("--ignore-unknown", help="Open runs of workflows that no module here defines are fine.")
    ] = False,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Check the definitions of MODULE_OR_FILE...; with --against, replay a store's open runs under this code.

    Exits 1 when a type cannot work, a run diverges, or an open run's workflow is not defined here.
    """
    from holdfast.cli.services import checked_runs
    from holdfast.validation import problems_of

    definitions = _load(modules)
    problems = problems_of(definitions)
    report = checked_runs(against, token, sample=sample) if against else None
    if as_json:
        typer.echo(json.dumps(_as_json(definitions, problems, report), ensure_ascii=False))
    else:
        for line in _lines(definitions, problems, report):
            typer.echo(line)
    is_found = bool(problems) or (report is not None and bool(report.divergences))
    if is_found or (report is not None and report.unknown and not ignore_unknown):
        raise typer.Exit(FOUND)


def replay(
    run_id: RunId,
    modules: Modules,
    store: Annotated[
        str, typer.Option(envvar="HOLDFAST_STORE_ADDRESS", help="Address of the store, HOST:PORT.")
    ] = "127.0.0.1:7701",
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Replay RUN under the code of MODULE_OR_FILE... and print what each event did; the pending decisions come last.

    With --json one event a line. Exits 1 when the run diverges.
    """
    from holdfast.cli.services import told_run

    _load(modules)
    told = told_run(store, token, run_id)
    for it in told:
        for line in [_told_json(it)] if as_json else _told_lines(it):
            typer.echo(line)
    if told[-1].divergence is not None:
        raise typer.Exit(FOUND)


def _load(modules: Sequence[str]) -> list[StepDefinition | WorkflowDefinition]:
    """Load modules as a runtime would; returns what they define, each once."""
    from holdfast.cli.exits import CommandError
    from holdfast.cli.services import guard_bodies
    from holdfast.definitions import registry

    guard_bodies()
    found: dict[StepDefinition | WorkflowDefinition, None] = {}
    for module in modules:
        try:
            found.update(dict.fromkeys(registry.load(module).definitions))
        except ValueError as error:
            raise CommandError(str(error)) from None
    return list(found)


def _as_json(definitions: Sequence[Any], problems: Sequence[Problem], report: Report | None) -> dict[str, Any]:
    checked: dict[str, Any] = {
        "definitions": [{"name": it.name, "source": it.source} for it in definitions],
        "problems": [{"name": it.name, "source": it.source, "message": it.message} for it in problems],
    }
    return checked if report is None else checked | {"runs": report.as_json()}


def _lines(definitions: Sequence[Any], problems: Sequence[Problem], report: Report | None) -> Iterator[str]:
    for problem in problems:
        yield f"{problem.source}: {problem.name}: {problem.message}"
    yield f"{len(definitions)} definitions, {len(problems) or 'no'} problems"
    if report is None:
        return
    for group in report.groups:
        yield from _group_lines(group)
    for name, count in report.unknown.items():
        yield f"{name}: no module here defines it, {count} open runs would wait for it"
    for name, count in report.other_versions.items():
        yield f"{name}: {count} open runs stay with the runtimes of their version"
    yield (
        f"{report.open_count} open and {report.ended_count} ended runs replayed, "
        f"{len(report.divergences) or 'none'} diverge"
    )


def _group_lines(group: Group) -> Iterator[str]:
    first = group.first
    yield f"{first.workflow}: {len(group.run_ids)} runs diverge at {first.kind} {first.entity_id}".rstrip()
    yield f"    {first.message}"
    more = len(group.run_ids) - _SHOWN_RUNS
    yield f"    runs: {' '.join(group.run_ids[:_SHOWN_RUNS])}{f' and {more} more' if more > 0 else ''}"


def _told_lines(told: Told) -> Iterator[str]:
    from holdfast.cli.rendering import event_line

    if told.event is not None:
        yield event_line(told.event)
        yield from (f"       → {it.words}{f'  {it.source}' if it.source else ''}" for it in told.asked)
        if told.divergence is not None:
            yield f"       ✗ {told.divergence.message}"
        return
    yield "pending decisions:" if told.asked else "no decision is pending"
    yield from (f"  {it.words}{f'  {it.source}' if it.source else ''}" for it in told.asked)


def _told_json(told: Told) -> str:
    from google.protobuf import json_format

    asked = [
        {"event": json_format.MessageToDict(it.event), "words": it.words, "source": it.source} for it in told.asked
    ]
    if told.event is None:
        return json.dumps({"pending": asked}, ensure_ascii=False)
    line: dict[str, Any] = {"event": json_format.MessageToDict(told.event), "asked": asked}
    if told.divergence is not None:
        line["divergence"] = told.divergence.message
    return json.dumps(line, ensure_ascii=False)
