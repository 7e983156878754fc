"""`holdfast resume`, `cancel` and `wake`: the commands that change a run.

Each makes one idempotent call with a request id of its own, so that a transparent retry of gRPC does nothing twice.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from holdfast.cli.options import DEFAULT_RUNTIME, AsJson, RunId, RuntimeAddress, Token


def resume(
    hook_token: Annotated[str, typer.Argument(metavar="TOKEN", help="Token of an open hook.")],
    data: Annotated[str, typer.Option("--data", metavar="JSON", help="The value for the hook.")] = "null",
    request_id: Annotated[str, typer.Option(help="Same id, same value: delivered once. Made up when empty.")] = "",
    runtime: RuntimeAddress = DEFAULT_RUNTIME,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Send a value to the hook with TOKEN; its run goes on."""
    from ulid import ULID

    from holdfast.cli.starting import parse_json
    from holdfast.v1 import payload_pb2, runtime_service_pb2

    parse_json("--data", data)
    request = runtime_service_pb2.ResumeHookRequest(
        token=hook_token, payload=payload_pb2.Payload(text=data), request_id=request_id or str(ULID())
    )
    answer = _ask(runtime, token, "ResumeHook", request)
    again = " (it had been delivered before)" if answer.deduplicated else ""
    _print(answer, as_json, f"{answer.hook.run_id} got the value at {answer.hook.hook_id}{again}")


def cancel(
    run_id: RunId,
    reason: Annotated[str, typer.Option(help="Why, in at most 512 characters.")] = "",
    force: Annotated[bool, typer.Option("--force", help="End it at once, without letting it clean up.")] = False,
    recursive: Annotated[bool, typer.Option("--recursive", help="Cancel its child runs too.")] = False,
    runtime: RuntimeAddress = DEFAULT_RUNTIME,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Cancel RUN. The workflow may clean up first, unless --force. Cancelling an ended run changes nothing."""
    from holdfast.v1 import runtime_service_pb2

    request = runtime_service_pb2.CancelRunRequest(run_id=run_id, reason=reason, force=force, recursive=recursive)
    answer = _ask(runtime, token, "CancelRun", request)
    asked = f"{run_id} is cancelled" if force else f"{run_id} was asked to stop; `holdfast events {run_id} --follow`"
    _print(answer, as_json, asked if answer.cancelled else f"{run_id} had ended before; nothing changed")


def wake(
    run_id: RunId,
    skip_waits: Annotated[bool, typer.Option("--skip-waits", help="Let its pending sleeps fire now.")] = False,
    runtime: RuntimeAddress = DEFAULT_RUNTIME,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Queue a replay of RUN, for instance after its code was fixed."""
    from holdfast.v1 import runtime_service_pb2

    answer = _ask(runtime, token, "WakeRun", runtime_service_pb2.WakeRunRequest(run_id=run_id, skip_waits=skip_waits))
    fired = f"; {answer.fired_count} waits fired" if skip_waits else ""
    _print(answer, as_json, f"{run_id} is queued{fired}")


def _ask(address: str, token: str, method: str, request: Any) -> Any:
    from holdfast.cli.connection import connected

    with connected(address, token) as connection:
        answer: Any = connection.call(getattr(connection.runtime, method), request)
        return answer


def _print(answer: Any, as_json: bool, sentence: str) -> None:
    from holdfast.cli.rendering import as_json_line

    typer.echo(as_json_line(answer) if as_json else sentence)
