"""Values and tokens never show in logs or errors: a busy run with marks in all of them, and every output searched."""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from holdfast import Client
from holdfast.errors import HoldfastError, RunFailed
from holdfast.security.logged import LibraryFormatter, describe_exceptions
from holdfast.v1 import event_pb2, payload_pb2
from holdfast.v1 import queue_service_pb2 as queue_api
from holdfast.v1 import store_service_pb2 as api
from tests.http.sender import send
from tests.security.marked_workflows import MARK
from tests.support.runtime import RuntimeProcess
from tests.support.store import StoreClient, StoreProcess, eventually, take_apart

TOKEN, HOOK = "sesame-of-everybody-here", f"hook-{MARK}"
CARD = {"number": MARK, "amount": 7}
MODULE = str(Path(__file__).with_name("marked_workflows.py"))

#: All that libraries say when they are asked to, but for GRPC_TRACE, which is there to show what is on the wire.
LOUD = {
    "PYTHONASYNCIODEBUG": "1",
    "GRPC_VERBOSITY": "DEBUG",
    "HOLDFAST_TOKEN": TOKEN,
}


class Noted:
    """Errors that clients got, as text."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def of(self, call: Any) -> None:
        """Await a call that is to fail, and note all that it said."""
        try:
            await call
        except grpc.aio.AioRpcError as error:
            self.texts.append(f"{error.code()} {error.details()} {take_apart(error).status}")
        except HoldfastError as error:
            self.texts.append(f"{type(error).__name__} {error} {dict(error.metadata)}")
        else:
            raise AssertionError("it was answered")


async def break_rules(client: Client, store: StoreClient, noted: Noted) -> None:
    """Send values to every place that refuses them."""
    payload = payload_pb2.Payload(text=f'"{MARK}"')
    created = event_pb2.Event(
        correlation_id="step_x#1", step_created=event_pb2.StepCreated(step_name="marked.echo", input=payload)
    )
    for request in (
        api.CreateEventsRequest(run_id="no such id!", events=[created]),
        api.CreateEventsRequest(run_id="no-such-run", events=[created]),
        api.CreateEventsRequest(run_id="marked-1", events=[created], state_updated_at=1),
        api.CreateEventsRequest(run_id="marked-1", events=[created], state_updated_at=2**60),
    ):
        await noted.of(store.events.CreateEvents(request))
    broken = payload_pb2.Payload(text=f'{{"{MARK}"')
    message = queue_api.NewQueueMessage(queue="mail!", payload=broken)
    await noted.of(store.queue.Enqueue(queue_api.EnqueueRequest(message=message)))
    raw = store.channel.unary_unary("/holdfast.v1.StoreService/CreateEvent")
    await noted.of(raw(b"\x0a\xff" + MARK.encode()))
    await noted.of(client.start("marked.all", CARD, id="marked-1"))
    await noted.of(client.start("marked.nothing", CARD))
    await noted.of(client.start("marked.all", id="marked-9", kwargs={"cart": CARD}))
    await noted.of(client.start("marked.all", {"number": [MARK], "amount": MARK}))
    await noted.of(client.resume(HOOK, {"number": 5, "amount": MARK}))
    await noted.of(client.resume(HOOK, MARK))
    await noted.of(client.resume("hook-nobody", CARD))


async def test_a_busy_run_with_marks_everywhere_leaves_none_in_any_log_or_error(tmp_path: Path) -> None:
    store = StoreProcess(tmp_path / "s.db", **LOUD)
    noted = Noted()
    try:
        async with RuntimeProcess(
            tmp_path, MODULE, store=store.address, options=("--http", "127.0.0.1:0"), **LOUD
        ) as runtime:
            async with Client(runtime.address, token=TOKEN) as client:
                await busy(client, store, runtime, noted)
            async with Client(runtime.address, token=f"guess-{MARK}") as guessing:
                await noted.of(guessing.run("marked-1").describe())
            await asyncio.to_thread(runtime.terminate)
            said = store.stderr + runtime.errors
    finally:
        store.close()
    told = "\n".join(noted.texts)
    for secret in (MARK, TOKEN):
        assert secret not in told, excerpt(told, secret)
        assert secret not in said, excerpt(said, secret)
    assert "asyncio" in said or "grpc" in said, "the libraries were silent: nothing was looked at"


async def busy(client: Client, store: StoreProcess, runtime: RuntimeProcess, noted: Noted) -> None:
    run = await client.start("marked.all", CARD, id="marked-1")
    await eventually(lambda: has_hook(client))
    async with StoreClient(store.address, token=TOKEN) as direct:
        await break_rules(client, direct, noted)
    await asyncio.to_thread(store.restart)
    await client.resume(HOOK, CARD)
    assert (
        await send(await webhook_url(client, runtime), MARK.encode(), headers={"authorization": MARK})
    ).status == 202
    assert await run.result(timeout="20s") == CARD
    failing = await client.start("marked.fails", CARD)
    with pytest.raises(RunFailed, match=MARK):
        await failing.result(timeout="20s")
    stuck = await client.start("marked.blocked", CARD)

    async def is_blocked() -> bool:
        return (await stuck.describe()).HasField("last_replay_failure")

    await eventually(is_blocked)


async def has_hook(client: Client) -> bool:
    try:
        await client.hook(HOOK)
    except HoldfastError:
        return False
    return True


async def webhook_url(client: Client, runtime: RuntimeProcess) -> str:
    async def token() -> str:
        open_hooks = (await client.run("marked-1").describe()).open_hooks
        return next((it.token for it in open_hooks if it.token != HOOK), "")

    port = re.search(r"http (\S+)\)", runtime.greeting)
    assert port is not None
    return f"http://{port[1]}/webhooks/{await eventually(token)}"


def excerpt(text: str, secret: str) -> str:
    at = text.index(secret)
    return f"…{text[max(0, at - 400) : at + 200]}…"


def test_an_exception_is_logged_with_its_place_and_without_its_message() -> None:
    try:
        try:
            raise KeyError(MARK)
        except KeyError as error:
            raise ValueError(MARK) from error
    except ValueError as error:
        logged = describe_exceptions(None, "error", {"event": "it failed", "exc_info": error})
    assert "exc_info" not in logged
    assert "ValueError" in logged["exception"] and "KeyError" in logged["exception"]
    assert "test_nothing_leaks.py" in logged["exception"] and MARK not in logged["exception"].replace("raise", "")


def test_what_libraries_log_loses_its_messages_and_what_steps_log_does_not() -> None:
    error = ValueError(MARK)
    texts = {}
    for name in ("asyncio", "grpc._cython", "my_steps"):
        record = logging.LogRecord(name, 40, "f.py", 1, f"lost\nfuture: {error!r}", None, (ValueError, error, None))
        texts[name] = LibraryFormatter("%(name)s %(message)s").format(record)
    assert MARK not in texts["asyncio"] + texts["grpc._cython"]
    assert "lost" in texts["asyncio"] and "ValueError" in texts["asyncio"]
    assert MARK in texts["my_steps"]
