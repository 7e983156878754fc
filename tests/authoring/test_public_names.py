"""What `import holdfast` gives, and what type checkers see of it."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import holdfast
from holdfast import errors

PROMISED = [
    "workflow",
    "step",
    "sleep",
    "hook",
    "Hook",
    "RetryPolicy",
    "RetryableError",
    "FatalError",
    "heartbeat",
    "last_heartbeat",
    "step_info",
    "run_info",
    "now",
    "random",
    "uuid4",
    "set_attributes",
    "stream",
    "StreamWriter",
    "Chunk",
    "Reset",
    "Client",
    "SyncClient",
    "RunHandle",
    "HoldfastError",
    "StepFailed",
    "RunFailed",
    "RunCancelled",
    "RunNotFound",
    "RunExists",
    "HookNotFound",
    "HookConflict",
    "HookDisposed",
    "SerializationError",
    "NotDeterministic",
    "ReplayDivergence",
    "StaleSnapshot",
    "SnapshotAhead",
    "IllegalTransition",
    "RunTerminal",
    "LeaseLost",
    "StreamClosed",
    "LimitExceeded",
    "Throttled",
    "NotReady",
    "Unauthenticated",
    "PermissionDenied",
    "InvalidRequest",
    "NotRegistered",
    "RequestIdReused",
    "StepTimeout",
    "InvalidPayload",
    "WrongContext",
    "RemoteError",
]


def test_every_promised_name_is_exported() -> None:
    assert set(PROMISED) <= set(holdfast.__all__)
    assert all(getattr(holdfast, name) is not None for name in holdfast.__all__)
    assert set(holdfast.__all__) <= set(dir(holdfast))


def test_every_error_is_exported_and_is_a_holdfast_error() -> None:
    found = {
        name: it
        for name, it in vars(errors).items()
        if inspect.isclass(it) and issubclass(it, BaseException) and not name.startswith("_")
    }
    assert all(issubclass(it, holdfast.HoldfastError) for it in found.values())
    assert set(found) <= set(holdfast.__all__)


def test_importing_holdfast_does_not_import_grpc() -> None:
    program = "import sys, holdfast; assert 'grpc' not in sys.modules; holdfast.Client; assert 'grpc' in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


TYPED = """
from collections.abc import Coroutine
from typing import Any, assert_type

from holdfast import (
    Chunk, Client, Hook, Request, Reset, RunHandle, StreamWriter, SyncClient, SyncRunHandle,
    hook, step, stream, webhook, workflow
)

@step
async def charge(order: int, *, currency: str = "EUR") -> str: ...

@step
def charge_sync(order: int) -> str: ...

@step(name="typed.other", timeout="30s")
def other(order: int) -> bytes: ...

@step(name="typed.another")
async def another(order: int) -> bytes: ...

@workflow
async def checkout(order: int) -> float: ...

@workflow(name="typed.checkout")
async def named(order: int) -> float:
    assert_type(await charge(1, currency="USD"), str)
    call: Coroutine[Any, Any, str] = charge_sync(1)
    assert_type(await call, str)
    assert_type(await other(1), bytes)
    assert_type(await another(1), bytes)
    assert_type(await checkout(1), float)
    assert_type(hook(int), Hook[int])
    assert_type(await hook(int), int)
    async for value in hook(str):
        assert_type(value, str)
    async with webhook() as notifications, hook(int) as numbers:
        assert_type(notifications.url, str)
        assert_type(await notifications, Request)
        assert_type(await numbers, int)
    assert_type(stream("s", type=bytes), StreamWriter[bytes])
    assert_type(stream(), StreamWriter[Any])
    return 1.0

async def use(client: Client) -> None:
    assert_type(await client.start(checkout, 1), RunHandle[float])
    assert_type(await client.start("checkout", 1), RunHandle[Any])
    assert_type(await (await client.start(named, 1)).result(), float)
    async for item in client.run("r").stream("s", type=bytes):
        assert_type(item, bytes)
    async for found in client.run("r").stream(type=str).chunks():
        assert_type(found, Chunk[str] | Reset)

def use_sync(client: SyncClient) -> None:
    assert_type(client.start(checkout, 1), SyncRunHandle[float])
    assert_type(client.start(checkout, 1).result("1m"), float)
    for item in client.run("r").stream(type=str):
        assert_type(item, str)

wrong_type = charge("x")  # error
wrong_keyword = charge(1, currency=2)  # error
"""


def test_type_checkers_see_the_signatures_that_were_written(tmp_path: Path) -> None:
    (tmp_path / "typed.py").write_text(TYPED)
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--disable-error-code=empty-body"]
    answer = subprocess.run(
        [*command, "--cache-dir", str(tmp_path / "cache"), "--follow-imports=silent", "typed.py"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(Path(holdfast.__file__).parent.parent)},
        capture_output=True,
        text=True,
        timeout=110,
    )
    expected = [number for number, line in enumerate(TYPED.splitlines(), 1) if line.endswith("# error")]
    found = [int(line.split(":")[1]) for line in answer.stdout.splitlines() if ": error:" in line]
    assert found == expected, answer.stdout + answer.stderr
