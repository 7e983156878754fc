"""A store process with namespaces: kills, drains, failing databases, and what people are told."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from holdfast.v1 import store_service_pb2 as api
from store_service.auditing import audit_database
from tests.crash.faults import HAS_STRACE
from tests.power.injection import injected
from tests.security.test_namespace_credentials import clients
from tests.support.store import StoreClient, StoreProcess, create_run, eventually

NAMES = ("billing", "shop")


def token(name: str) -> str:
    return f"sesame-of-{name}-client"


@asynccontextmanager
async def process(folder: Path) -> AsyncIterator[tuple[StoreProcess, dict[str, StoreClient]]]:
    """A store with two namespaces beside the default one, and a client in each."""
    urls = ", ".join(f"{name}=sqlite:///{folder}/{name}.db" for name in NAMES)
    listed = clients(folder, **{name: name for name in NAMES})
    running = await asyncio.to_thread(
        lambda: StoreProcess(folder / "default.db", HOLDFAST_NAMESPACES=urls, HOLDFAST_CLIENTS_FILE=listed)
    )
    async with AsyncExitStack() as stack:
        stack.callback(running.close)
        stubs = {name: StoreClient(running.address, token=token(name)) for name in NAMES}
        for stub in stubs.values():
            await stack.enter_async_context(stub)
        yield running, stubs


async def runs_of(client: StoreClient) -> list[str]:
    return [run.run_id for run in (await client.events.ListRuns(api.ListRunsRequest())).runs]


async def test_what_each_namespace_acknowledged_survives_a_kill_of_their_process(tmp_path: Path) -> None:
    async with process(tmp_path) as (store, reached):
        for name, client in reached.items():
            await create_run(client, "run-1", workflow_name=name)
        await asyncio.to_thread(store.restart)
        for name, client in reached.items():
            await eventually(lambda client=client: _has(client, [["run-1"]]))
            (run,) = (await client.events.ListRuns(api.ListRunsRequest())).runs
            assert run.workflow_name == name
        await asyncio.to_thread(store.kill)
    for name in (*NAMES, "default"):
        assert audit_database(f"sqlite:///{tmp_path}/{name}.db").findings == ()


async def test_a_drain_says_goodbye_in_every_namespace(tmp_path: Path) -> None:
    async with process(tmp_path) as (store, reached):
        watches = [client.events.WatchEvents(api.WatchEventsRequest(all_runs=True)) for client in reached.values()]
        for watch in watches:
            assert (await watch.read()).HasField("caught_up")
        store.terminate()
        for watch in watches:
            assert (await watch.read()).closing.reason == api.WATCH_CLOSING_REASON_DRAINING
        assert await asyncio.to_thread(store.wait) == 0


@pytest.mark.skipif(not HAS_STRACE, reason="strace is not installed: apt install strace")
async def test_a_database_that_fails_ends_the_process_of_all_and_loses_nothing_of_the_others(tmp_path: Path) -> None:
    async with process(tmp_path) as (store, reached):
        await create_run(reached["shop"], "before")
        with injected(store.pid, tmp_path / "billing.db", "fdatasync", "EIO", "1"):
            with pytest.raises(grpc.RpcError, match="could not commit"):
                await create_run(reached["billing"], "unsure")
            assert await asyncio.to_thread(store.wait) == 1
        store.start()
        await eventually(lambda: _has(reached["shop"], [["before"]]))
        # What was not acknowledged may be there or not.
        await eventually(lambda: _has(reached["billing"], [[], ["unsure"]]))


async def _has(client: StoreClient, expected: list[list[str]]) -> bool:
    try:
        return await runs_of(client) in expected
    except grpc.RpcError:
        return False


def say(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *words]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60)


def test_a_database_that_cannot_be_opened_is_told_with_its_namespace_and_without_its_password(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("x" * 5_000)
    listed = clients(tmp_path, billing="billing")
    words = ["--database", f"sqlite:///{tmp_path}/default.db", "--listen", "127.0.0.1:0"]
    for url, told in {
        f"sqlite:///{tmp_path}/notes.db": "is not a holdfast database",
        "postgresql://ann:open-sesame@127.0.0.1:1/billing": "cannot be opened",
        "mysql://ann:open-sesame@db/billing": "no known scheme",
    }.items():
        done = say(*("-m", "store_service"), *words, *("--namespace", f"billing={url}"), HOLDFAST_CLIENTS_FILE=listed)
        assert done.returncode == 2
        assert "namespace billing: " in done.stderr and told in done.stderr
        assert "open-sesame" not in done.stderr + done.stdout


async def test_the_doctor_asks_in_the_namespace_of_its_token_and_looks_at_every_file(tmp_path: Path) -> None:
    async with process(tmp_path) as (store, _):
        told: dict[str, Any] = {}
        words = ("-m", "holdfast.cli", "doctor", "--store", store.address, "--runtime", "127.0.0.1:1", "--json")
        done = await asyncio.to_thread(
            lambda: say(
                *words,
                HOLDFAST_TOKEN=token("billing"),
                HOLDFAST_DATABASE=f"sqlite:///{tmp_path}/default.db",
                HOLDFAST_NAMESPACES=f"billing=sqlite:///{tmp_path}/billing.db, shop=sqlite:///{tmp_path}/no/shop.db",
            )
        )
        told = {it["check"]: it for it in map(json.loads, done.stdout.splitlines())}
        assert told["store"]["ok"] and told["file"]["ok"] and told["file billing"]["ok"]
        assert not told["file shop"]["ok"] and "does not exist" in told["file shop"]["answer"]
