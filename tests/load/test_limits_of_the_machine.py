"""A store that runs out of disk or of file descriptors loses nothing, and goes on when there is room again.

Real processes with real limits: a small tmpfs (mounting one takes root), RLIMIT_NOFILE.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from tests.checkers.log_audit import audit_file
from tests.storms import services
from tests.support.store import StoreClient, add, create_run, eventually, hook_created, hook_received, take_apart

DISK_BYTES = 6 * 1024 * 1024
VALUE = '"' + "x" * 200_000 + '"'


@dataclass(frozen=True, slots=True)
class FewFiles:
    """A process that may have only so many descriptors beyond those that it has."""

    more: int

    def __call__(self) -> None:
        open_now = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + self.more, open_now + self.more))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid():
        pytest.skip("mounting a small disk takes root")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let root mount")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def test_a_full_disk_is_told_loses_nothing_and_is_left_behind(small_disk: Path) -> None:
    filler = small_disk / "filler"
    accepted: list[str] = []
    async with services.store(small_disk) as store, StoreClient(store.address) as client:
        await create_run(client, "run_1")
        await add(client, "run_1", hook_created())
        filler.write_bytes(b"x" * (DISK_BYTES // 3))
        error = await _send_until_refused(client, accepted)
        refused = take_apart(error)
        assert refused.info.reason == "NOT_READY", refused.message
        assert accepted
        filler.unlink()
        if store.died.is_set():
            await store.start()
        await eventually(lambda: _is_accepted(client, accepted, "after"))
        await store.stop()
        assert "Traceback" not in store.log
    audit = await audit_file(small_disk / "store.db")
    assert audit.findings == []
    received = [event for event in audit.logs["run_1"] if event.HasField("hook_received")]
    assert len(received) == len(accepted), "what was refused is not in the log, what was accepted is"


async def _send_until_refused(client: StoreClient, accepted: list[str]) -> grpc.RpcError:
    for number in range(100):
        try:
            await add(client, "run_1", hook_received(text=VALUE))
        except grpc.RpcError as error:
            return error
        accepted.append(str(number))
    raise AssertionError("the disk did not fill")


async def _is_accepted(client: StoreClient, accepted: list[str], name: str) -> bool:
    with contextlib.suppress(grpc.RpcError):
        await add(client, "run_1", hook_received())
        accepted.append(name)
        return True
    return False


async def test_a_store_without_descriptors_goes_on_serving_and_takes_connections_again_later(
    tmp_path: Path,
) -> None:
    store = services.store(tmp_path)
    async with contextlib.AsyncExitStack() as stack:
        await store.start(FewFiles(40))
        stack.push_async_callback(store.kill)
        first = await stack.enter_async_context(StoreClient(store.address))
        await create_run(first, "run_1")
        idle = [await _connect(store.address) for _ in range(60)]
        for number in range(5):
            await create_run(first, f"while_none_is_free_{number}")
        for writer in idle:
            writer.close()
        late = await stack.enter_async_context(StoreClient(store.address))
        await eventually(lambda: _created(late, "run_late"))
        await store.stop()
    assert (await audit_file(tmp_path / "store.db")).findings == []


async def _connect(address: str) -> asyncio.StreamWriter:
    host, _, port = address.rpartition(":")
    return (await asyncio.open_connection(host, int(port)))[1]


async def _created(client: StoreClient, run_id: str) -> bool:
    try:
        await create_run(client, run_id)
    except grpc.RpcError as error:
        return "RUN_EXISTS" in str(error)
    return True
