"""A service that runs out of memory, and a runtime out of descriptors: nothing acknowledged is lost, work goes on.

Real processes with real limits. What a process does at the end of its memory is its allocator's choice: an error for
one call, or its death. Either is allowed; an answer that was given and does not hold is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
import pytest

from holdfast import Client
from tests.checkers.log_audit import audit_file
from tests.load.test_limits_of_the_machine import FewFiles
from tests.storms import services
from tests.support.store import StoreClient, add, create_run, eventually, hook_created, hook_received

MEBIBYTE = 1024 * 1024
VALUE = '"' + "x" * (1024 * 1024) + '"'


@dataclass(frozen=True, slots=True)
class LittleMemory:
    """A process that may have only so many bytes of data beyond those that it has."""

    more: int

    def __call__(self) -> None:
        most = psutil.Process().memory_info().data + self.more
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


@pytest.mark.slow
async def test_a_store_out_of_memory_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    accepted: list[int] = []
    store = services.store(tmp_path)
    async with contextlib.AsyncExitStack() as stack:
        await store.start(LittleMemory(160 * MEBIBYTE))
        stack.push_async_callback(store.kill)
        client = await stack.enter_async_context(StoreClient(store.address))
        await create_run(client, "run_1")
        await add(client, "run_1", hook_created())
        refused = await asyncio.gather(*(_send(client, number, accepted) for number in range(150)))
        assert any(refused), "the memory was enough: nothing was tried"
        if store.died.is_set():
            await store.start()
        late = await stack.enter_async_context(StoreClient(store.address))
        await eventually(lambda: _send(late, 1_000, accepted, is_answer_wanted=True))
        await store.stop()
    audit = await audit_file(tmp_path / "store.db")
    assert audit.findings == []
    numbers = {int(event.hook_received.payload.metadata["number"]) for event in audit.logs["run_1"][3:]}
    assert set(accepted) <= numbers


async def _send(client: StoreClient, number: int, accepted: list[int], *, is_answer_wanted: bool = False) -> bool:
    """Send a value of a mebibyte; returns whether it was refused, or accepted when that is what is wanted."""
    event = hook_received(text=VALUE)
    event.hook_received.payload.metadata["number"] = str(number)
    try:
        await add(client, "run_1", event)
    except grpc.RpcError:
        return not is_answer_wanted
    accepted.append(number)
    return is_answer_wanted


@pytest.mark.slow
async def test_a_runtime_without_descriptors_goes_on_with_its_runs_and_takes_connections_again_later(
    tmp_path: Path,
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(services.store(tmp_path))
        runtime = services.runtime(tmp_path, store.address, module="tests.soak.workflows", http="")
        await runtime.start(FewFiles(40))
        stack.push_async_callback(runtime.kill)
        first = await stack.enter_async_context(Client(runtime.address))
        run = await first.start("soak.nap", 1)
        host, _, port = runtime.address.rpartition(":")
        idle = [(await asyncio.open_connection(host, int(port)))[1] for _ in range(60)]
        assert await run.result(timeout="15s") == 2
        assert await (await first.start("soak.steps", 1)).result(timeout="15s") == 12
        for writer in idle:
            writer.close()
        late = await stack.enter_async_context(Client(runtime.address))
        assert await (await late.start("soak.steps", 2)).result(timeout="15s") == 15
        await runtime.stop()
        assert "run blocked" not in runtime.log
        await store.stop()
    assert (await audit_file(tmp_path / "store.db")).findings == []
