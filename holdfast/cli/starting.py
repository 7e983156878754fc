"""`holdfast start`: starts a run, and waits for its result when asked.

What a script reads is on stdout: the run id, or with --wait the result as JSON. Everything for people goes to
stderr.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from holdfast.cli.exits import RUN_FAILED, CommandError
from holdfast.cli.options import DEFAULT_RUNTIME, AsJson, RuntimeAddress, Token

#: Seconds of one AwaitRun; the server allows 60, and the call's own deadline is a little longer.
AWAIT_SECONDS = 30


def start(
    workflow: Annotated[str, typer.Argument(help="Registered name of the workflow.")],
    input_json: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="JSON",
            help="The value itself for a workflow with one parameter, else an object of keyword or an array of "
            "positional arguments.",
        ),
    ] = None,
    run_id: Annotated[str, typer.Option("--id", help="Id of the run; made up when empty.")] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end and print the result.")] = False,
    attribute: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Searchable label; repeatable.")
    ] = None,
    use_existing: Annotated[
        bool, typer.Option("--use-existing", help="Take the run that has the id instead of failing.")
    ] = False,
    runtime: RuntimeAddress = DEFAULT_RUNTIME,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Start a run of WORKFLOW."""
    from holdfast.cli.connection import connected
    from holdfast.cli.rendering import as_json_line

    request = _request(workflow, input_json, run_id, attribute or [], use_existing)
    with connected(runtime, token) as connection:
        answer: Any = connection.call(connection.runtime.StartRun, request)
        if wait:
            _await_end(connection, answer.run.run_id, as_json)
        else:
            typer.echo(as_json_line(answer) if as_json else answer.run.run_id)


def parse_json(option: str, text: str) -> Any:
    """Parse the JSON of an option. Raises CommandError naming the option and the place."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise CommandError(f"{option} is not JSON: {error.msg} at column {error.colno} of {text!r}") from None
    except ValueError as error:
        raise CommandError(f"{option} is not JSON: {error}") from None


def parse_attributes(pairs: list[str]) -> dict[str, str]:
    """Parse KEY=VALUE words. Raises CommandError naming the word."""
    for pair in pairs:
        if "=" not in pair:
            raise CommandError(f"--attribute takes KEY=VALUE, got {pair!r}")
    return dict(pair.split("=", 1) for pair in pairs)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _request(workflow: str, input_json: str | None, run_id: str, attributes: list[str], use_existing: bool) -> Any:
    from ulid import ULID

    from holdfast.v1 import payload_pb2, runtime_service_pb2

    policy = "USE_EXISTING" if use_existing else "FAIL"
    request = runtime_service_pb2.StartRunRequest(
        workflow_name=workflow,
        run_id=run_id,
        request_id=str(ULID()),
        attributes=parse_attributes(attributes),
        conflict_policy=runtime_service_pb2.RunConflictPolicy.Value(f"RUN_CONFLICT_POLICY_{policy}"),
    )
    if input_json is not None:
        parse_json("--input", input_json)
        request.input.CopyFrom(payload_pb2.Payload(text=input_json))
    return request


def _await_end(connection: Any, run_id: str, as_json: bool) -> None:
    from google.protobuf import duration_pb2

    from holdfast.cli.rendering import as_json_line
    from holdfast.v1 import runtime_service_pb2

    typer.echo(f"{run_id} started; waiting for its end (Ctrl-C stops waiting, not the run)", err=True)
    request = runtime_service_pb2.AwaitRunRequest(run_id=run_id, timeout=duration_pb2.Duration(seconds=AWAIT_SECONDS))
    while not (answer := connection.call(connection.runtime.AwaitRun, request, seconds=AWAIT_SECONDS + 5)).done:
        continue
    if as_json:
        typer.echo(as_json_line(answer.run))
    _print_outcome(answer.run, is_quiet=as_json)


def _print_outcome(run: Any, *, is_quiet: bool) -> None:
    """Print the result on stdout, or the failure on stderr with exit code 1."""
    from holdfast.cli.rendering import payload_text
    from holdfast.v1 import entity_pb2

    if run.status == entity_pb2.RUN_STATUS_COMPLETED:
        if not is_quiet:
            typer.echo(payload_text(run.output))
        return
    if run.status == entity_pb2.RUN_STATUS_FAILED:
        typer.echo(f"holdfast: {run.run_id} failed: {run.failure.type}: {run.failure.message}", err=True)
    else:
        reason = f": {run.cancel_reason}" if run.cancel_reason else ""
        typer.echo(f"holdfast: {run.run_id} was cancelled{reason}", err=True)
    raise typer.Exit(RUN_FAILED)
