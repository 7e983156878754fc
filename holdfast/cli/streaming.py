"""`holdfast stream`: a stream of a run on the terminal, live, as it is written.

Asked of the runtime; the place in the stream is kept, so that a restarted runtime is a pause and nothing is printed
twice. Bytes go out as they are, JSON items one a line.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final

import typer

from holdfast.cli.options import DEFAULT_RUNTIME, AsJson, RunId, RuntimeAddress, Token
from holdfast.cli.reading import FOLLOW_PAUSE_SECONDS, FOLLOW_RETRY_SECONDS
from holdfast.errors import NotReady

_MODES: Final = ("live", "final")


def stream(
    run_id: RunId,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Name of the stream.")] = "default",
    start_index: Annotated[
        int, typer.Option(metavar="N", help="Index to begin with; negative counts from the end.")
    ] = 0,
    mode: Annotated[str, typer.Option(help="live, or final: only what attempts that succeeded wrote.")] = "live",
    runtime: RuntimeAddress = DEFAULT_RUNTIME,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Print a stream of RUN until it is closed or the run ends. With --json one chunk or reset a line."""
    from holdfast.cli.connection import connected

    with connected(runtime, token) as connection:
        told = _told_as_json if as_json else _told_plainly
        for message in _messages(connection, _request(run_id, name, start_index, mode, with_resets=as_json)):
            told(message)


def _request(run_id: str, name: str, start_index: int, mode: str, *, with_resets: bool) -> Any:
    from holdfast.stream_items import check_name
    from holdfast.v1 import runtime_service_pb2, stream_service_pb2

    if mode not in _MODES:
        raise typer.BadParameter(f"{mode!r} is none of {', '.join(_MODES)}", param_hint="--mode")
    try:
        check_name(name)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="NAME") from None
    modes = stream_service_pb2.StreamReadMode
    return runtime_service_pb2.ReadRunStreamRequest(
        run_id=run_id,
        name=name,
        start_index=start_index,
        mode=modes.Value(f"STREAM_READ_MODE_{mode.upper()}"),
        with_resets=with_resets and mode == "live",
    )


def _messages(connection: Any, request: Any) -> Iterator[Any]:
    """Yield the messages of a stream up to its end. Survives a restart of the runtime."""
    heard = None
    while True:
        try:
            for message in _call(connection, request):
                request.start_index, heard = message.next_index, time.monotonic()
                yield message
                if message.end:
                    return
        except NotReady:
            if heard is None or time.monotonic() - heard > FOLLOW_RETRY_SECONDS:
                raise
        time.sleep(FOLLOW_PAUSE_SECONDS)


def _call(connection: Any, request: Any) -> Iterator[Any]:
    import grpc

    call = connection.runtime.ReadRunStream(request, metadata=connection.metadata)
    try:
        yield from call
    except grpc.RpcError as error:
        raise connection.typed(error) from None
    finally:
        call.cancel()


def _told_plainly(message: Any) -> None:
    if not message.HasField("data"):
        return
    if _is_json(message):
        typer.echo(message.data.decode())
    else:
        sys.stdout.buffer.write(message.data)
        sys.stdout.buffer.flush()


def _told_as_json(message: Any) -> None:
    for field, words in _WORDS.items():
        if message.HasField(field):
            typer.echo(json.dumps(words(message), ensure_ascii=False))


def _chunk_words(message: Any) -> dict[str, Any]:
    import base64

    data = json.loads(message.data) if _is_json(message) else base64.b64encode(message.data).decode()
    return {"index": message.next_index - 1, **_author_words(message.author), "data": data}


def _reset_words(message: Any) -> dict[str, Any]:
    return {"reset": _author_words(message.reset.author)}


def _author_words(author: Any) -> dict[str, Any]:
    return {"step_id": author.step_id, "attempt": author.attempt}


#: Field of a message → what a line of JSON says about it.
_WORDS: Final[dict[str, Callable[[Any], dict[str, Any]]]] = {"data": _chunk_words, "reset": _reset_words}


def _is_json(message: Any) -> bool:
    return bool(message.content_type == "application/json")
