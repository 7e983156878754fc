"""A runtime belongs to the namespace of its store credential: nobody of another one gets in, it never changes."""

from __future__ import annotations

import asyncio
import socket
import urllib.error
import urllib.request
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc.aio

from holdfast import Client, hook, workflow
from holdfast.errors import HoldfastError, NotReady, PermissionDenied
from holdfast.v1 import store_service_pb2
from runtime_service.server import SERVICES, serve
from runtime_service.settings import RuntimeSettings
from tests.security.side_by_side import dump
from tests.security.test_namespace_credentials import clients, store_of
from tests.support.any_rpc import call_raw, methods_of, path_of, refusal_of
from tests.support.runtime import new_registry, running_runtime
from tests.support.store import eventually
from tests.support.tokens import token_of


@workflow(name="namespaces.settle")
async def settle(order: str) -> str:
    async with hook(str, token="order-1") as payments:
        return f"{order} paid by {await payments}"


def token(client: str) -> str:
    return f"sesame-of-{client}-client"


async def test_every_rpc_of_a_runtime_refuses_clients_of_other_namespaces(tmp_path: Path) -> None:
    listed = clients(tmp_path, clerk="billing", seller="shop", unserved="elsewhere")
    async with (
        store_of(tmp_path, "billing", "shop", clients_file=listed) as store,
        running_runtime(store.address, settle, store_token=token("clerk"), clients_file=listed) as runtime,
        grpc.aio.insecure_channel(runtime.address) as channel,
    ):
        for method in methods_of(SERVICES):
            for sent in (token("seller"), token("unserved"), token_of("admin")):
                error = await call_raw(channel, method, metadata=[("authorization", f"Bearer {sent}")])
                refusal = refusal_of(error)
                assert refusal.info.reason == "PERMISSION_DENIED", f"{path_of(method)} let {sent} in"
                assert refusal.info.metadata["namespace"] in ("shop", "elsewhere", "default")
            own = await call_raw(channel, method, metadata=[("authorization", f"Bearer {token('clerk')}")])
            assert own is None or refusal_of(own).info.reason != "PERMISSION_DENIED", path_of(method)


async def test_runs_hooks_and_ids_of_two_namespaces_live_side_by_side(tmp_path: Path) -> None:
    listed = clients(tmp_path, clerk="billing", seller="shop")
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(store_of(tmp_path, "billing", "shop", clients_file=listed))
        reached = {}
        for name, client in (("billing", "clerk"), ("shop", "seller")):
            options: dict[str, Any] = {"store_token": token(client), "clients_file": listed}
            runtime = await stack.enter_async_context(running_runtime(store.address, settle, **options))
            reached[name] = await stack.enter_async_context(Client(runtime.address, token=token(client)))
        runs = {name: await client.start(settle, name, id="run-1") for name, client in reached.items()}
        for name, client in reached.items():
            await eventually(lambda client=client: _has_hook(client))
            await client.resume("order-1", name.upper(), request_id="request-1")
        for name, run in runs.items():
            assert await run.result(timeout="20s") == f"{name} paid by {name.upper()}"
            assert [it.run_id async for it in reached[name].runs()] == ["run-1"]


async def _has_hook(client: Client) -> bool:
    try:
        return bool((await client.hook("order-1")).hook_id)
    except Exception as error:
        assert type(error).__name__ == "HookNotFound", error
        return False


async def test_a_runtime_whose_credential_turns_out_to_be_of_another_namespace_touches_nothing_there(
    tmp_path: Path,
) -> None:
    listed = clients(tmp_path, clerk="billing", seller="shop")
    shown = tmp_path / "store.token"
    shown.write_text(token("clerk"))
    # Without a session: one that is open goes on under the credential that opened it.
    options: dict[str, Any] = {"store_token_file": str(shown), "clients_file": listed, "session": False}
    async with (
        store_of(tmp_path, "billing", "shop", clients_file=listed) as store,
        running_runtime(store.address, settle, **options) as runtime,
        Client(runtime.address, token=token("clerk")) as client,
    ):
        before = dump(f"sqlite:///{tmp_path}/shop.db")
        run = await client.start(settle, "first")
        await eventually(lambda: _has_hook(client))
        shown.write_text(token("seller"))
        own = runtime.worker.store

        async def is_refused() -> bool:
            try:
                await own.call(own.events.ListRuns, store_service_pb2.ListRunsRequest())
            except PermissionDenied as error:
                assert (error.metadata["expected"], error.metadata["namespace"]) == ("billing", "shop")
                return True
            return False

        await eventually(is_refused)
        shown.write_text(token("clerk"))
        await eventually(lambda: _goes_on(client))
        assert await run.result(timeout="20s") == "first paid by YES"
        assert dump(f"sqlite:///{tmp_path}/shop.db") == before


async def _goes_on(client: Client) -> bool:
    try:
        await client.resume("order-1", "YES", request_id="request-1")
    except HoldfastError as error:
        assert isinstance(error, NotReady), error
        return False
    return True


async def test_a_runtime_lets_nobody_in_before_it_knows_its_namespace(tmp_path: Path) -> None:
    listed = clients(tmp_path, clerk="billing")
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        store = f"127.0.0.1:{nobody.getsockname()[1]}"
    with socket.create_server(("127.0.0.1", 0)) as ours:
        listen = f"127.0.0.1:{ours.getsockname()[1]}"
    settings = RuntimeSettings(listen=listen, store=store, store_token=token("clerk"), clients_file=listed, http="")
    starting = asyncio.create_task(serve(settings, new_registry(settle)))
    try:
        async with grpc.aio.insecure_channel(listen) as channel:
            await asyncio.wait_for(channel.channel_ready(), 20)
            for method in methods_of(SERVICES):
                error = await call_raw(channel, method, metadata=[("authorization", f"Bearer {token('clerk')}")])
                assert refusal_of(error).info.reason == "NOT_READY", path_of(method)
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)


async def test_the_counts_and_pages_of_a_runtime_are_for_readers_of_its_namespace(tmp_path: Path) -> None:
    listed = clients(tmp_path, clerk="billing", seller="shop")
    options: dict[str, Any] = {"store_token": token("clerk"), "clients_file": listed, "http": "127.0.0.1:0"}
    async with (
        store_of(tmp_path, "billing", "shop", clients_file=listed) as store,
        running_runtime(store.address, settle, **options, ui=True) as runtime,
    ):
        assert runtime.http is not None
        for page in ("/metrics", "/"):
            url = f"http://{runtime.http.address}{page}"
            codes = {name: await asyncio.to_thread(_status, url, token(name)) for name in ("clerk", "seller")}
            assert codes == {"clerk": 200, "seller": 403}


def _status(url: str, shown: str) -> int:
    asking = urllib.request.Request(url, headers={"authorization": f"Bearer {shown}"})
    try:
        with urllib.request.urlopen(asking) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
