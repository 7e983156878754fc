"""`holdfast runs`, `show`, `events` and `why`: the commands that look and change nothing.

Everything is asked of the runtime; the log of a run is followed by cursor, so that a restarted runtime is a
pause, not an end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any, Final

import typer

from holdfast.cli.options import DEFAULT_RUNTIME, AsJson, RunId, RuntimeAddress, Token
from holdfast.cli.starting import parse_attributes
from holdfast.errors import NotReady

#: Seconds that `events --follow` goes on trying to reach a runtime that went away, and the pause between two tries.
FOLLOW_RETRY_SECONDS: Final = 60.0
FOLLOW_PAUSE_SECONDS: Final = 0.5


def runs(
    workflow: Annotated[str, typer.Option(help="Only runs of this workflow.")] = "",
    status: Annotated[
        list[str] | None,
        typer.Option(help="Only runs in this state: pending, running, completed, failed, cancelled; repeatable."),
    ] = None,
    attribute: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Only runs with this label; repeatable.")
    ] = None,
    blocked: Annotated[
        bool, typer.Option("--blocked", help="Only open runs whose last replay did not finish.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Most runs to print.")] = 50,
    runtime: RuntimeAddress = DEFAULT_RUNTIME,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """List runs, newest first. With --json one run a line."""
    from holdfast.cli.connection import connected
    from holdfast.cli.rendering import as_json_line
    from holdfast.v1 import entity_pb2

    wanted = [_status(word) for word in status or []]
    if blocked and not wanted:
        wanted = [entity_pb2.RUN_STATUS_PENDING, entity_pb2.RUN_STATUS_RUNNING]
    labels = parse_attributes(attribute or [])
    with connected(runtime, token) as connection:
        found = _found_runs(connection, workflow, wanted, labels)
        if blocked:
            found = (run for run in found if _describe(connection, run.run_id).HasField("last_replay_failure"))
        page = list(islice(found, limit))
    if as_json:
        for run in page:
            typer.echo(as_json_line(run))
        return
    from holdfast.cli.tables import print_runs

    print_runs(page)


def show(run_id: RunId, runtime: RuntimeAddress = DEFAULT_RUNTIME, token: Token = "", as_json: AsJson = False) -> None:
    """Show RUN with its open steps, hooks and waits."""
    from holdfast.cli.connection import connected
    from holdfast.cli.rendering import as_json_line

    with connected(runtime, token) as connection:
        answer = _describe(connection, run_id)
    if as_json:
        typer.echo(as_json_line(answer))
        return
    from holdfast.cli.tables import print_description

    print_description(answer)


def events(
    run_id: RunId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
    runtime: RuntimeAddress = DEFAULT_RUNTIME,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Print the log of RUN. With --json one event a line, in proto JSON."""
    from holdfast.cli.connection import connected
    from holdfast.cli.rendering import as_json_line, event_line

    with connected(runtime, token) as connection:
        for event in _watched(connection, run_id, follow):
            typer.echo(as_json_line(event) if as_json else event_line(event))


def why(run_id: RunId, runtime: RuntimeAddress = DEFAULT_RUNTIME, token: Token = "", as_json: AsJson = False) -> None:
    """Say in words what RUN waits for."""
    import json

    from holdfast.cli.connection import connected
    from holdfast.cli.explaining import explain

    with connected(runtime, token) as connection:
        sentences = explain(_describe(connection, run_id), datetime.now(UTC))
    if as_json:
        typer.echo(json.dumps({"run_id": run_id, "why": sentences}, ensure_ascii=False))
        return
    for sentence in sentences:
        typer.echo(sentence)


def _status(word: str) -> Any:
    from holdfast.v1 import entity_pb2

    states = [(name, number) for name, number in entity_pb2.RunStatus.items() if number]
    words = {name.removeprefix("RUN_STATUS_").lower(): number for name, number in states}
    if word.lower() not in words:
        raise typer.BadParameter(f"{word!r} is none of {', '.join(words)}", param_hint="--status")
    return words[word.lower()]


def _describe(connection: Any, run_id: str) -> Any:
    from holdfast.v1 import runtime_service_pb2

    return connection.call(connection.runtime.DescribeRun, runtime_service_pb2.DescribeRunRequest(run_id=run_id))


def _found_runs(connection: Any, workflow: str, statuses: list[Any], attributes: dict[str, str]) -> Iterator[Any]:
    from holdfast.v1 import runtime_service_pb2

    request = runtime_service_pb2.FindRunsRequest(
        workflow_name=workflow, statuses=statuses, attributes=attributes, page_size=100
    )
    while True:
        page = connection.call(connection.runtime.FindRuns, request)
        yield from page.runs
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def _watched(connection: Any, run_id: str, follow: bool) -> Iterator[Any]:
    """Yield the events of a run; without ``follow`` only those that exist now. Survives a restart of the runtime."""
    from holdfast.v1 import runtime_service_pb2

    request = runtime_service_pb2.WatchRunRequest(run_id=run_id)
    heard = time.monotonic()
    while True:
        try:
            for message in _messages(connection, request):
                request.cursor, heard = message.cursor, time.monotonic()
                if message.HasField("event"):
                    yield message.event
                elif message.HasField("ended") or (message.progress.caught_up and not follow):
                    return
        except NotReady:
            if not request.cursor or time.monotonic() - heard > FOLLOW_RETRY_SECONDS:
                raise
        time.sleep(FOLLOW_PAUSE_SECONDS)


def _messages(connection: Any, request: Any) -> Iterator[Any]:
    import grpc

    call = connection.runtime.WatchRun(request, metadata=connection.metadata)
    try:
        yield from call
    except grpc.RpcError as error:
        raise connection.typed(error) from None
    finally:
        call.cancel()
