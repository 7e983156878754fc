"""A runtime as a process: it refuses a wrong command line, waits for its store, and gives back what it holds."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from holdfast.v1 import entity_pb2
from holdfast.v1.payload_pb2 import Payload
from holdfast.v1.runtime_service_pb2 import AwaitRunRequest, GetRuntimeInfoRequest, StartRunRequest
from tests.support.refusals import refused
from tests.support.runtime import RuntimeProcess, running_runtime, runtime_stub
from tests.support.store import StoreProcess, eventually

WORKFLOWS = """
import asyncio
import time
from pathlib import Path
from holdfast import step, workflow

@step
async def work(name: str) -> str:
    with Path(name).open("a") as log:
        log.write("begun\\n")
    if log and Path(name).read_text().count("begun") == 1:
        await asyncio.sleep(600)
    return "done"

@workflow(name="job")
async def job(name: str) -> str:
    return await work(name)

@step
def hang() -> None:
    Path("hanging").touch()
    time.sleep(600)

@workflow(name="stuck")
async def stuck() -> None:
    await hang()

@workflow(name="echo")
async def echo(value: str) -> str:
    return value
"""


@pytest.fixture
def app(tmp_path: Path) -> str:
    (tmp_path / "app.py").write_text(WORKFLOWS)
    return "app.py"


def refusal_of(folder: Path, *words: str, **environment: str) -> str:
    """Run a command line that must be refused with exit code 2 and one line; returns that line."""
    command = [sys.executable, "-m", "runtime_service", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line.startswith("holdfast runtime: ")]
    assert "Traceback" not in done.stderr
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_a_module_that_does_not_exist_is_named(tmp_path: Path) -> None:
    assert "no_such_module" in refusal_of(tmp_path, "no_such_module")
    assert "no_such_file.py" in refusal_of(tmp_path, "no_such_file.py")


def test_a_module_that_cannot_be_imported_is_refused_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("import holdfast\n1 / 0\n")
    line = refusal_of(tmp_path, "bad.py")
    assert "ZeroDivisionError" in line and "bad.py:2" in line


def test_a_workflow_that_is_not_async_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text("from holdfast import workflow\n@workflow\ndef job(): ...\n")
    assert "async" in refusal_of(tmp_path, "plain.py")


@pytest.mark.parametrize(
    ("option", "value"),
    [("--lease", "soon"), ("--lease", "1ms"), ("--listen", "nowhere"), ("--concurrency", "0"), ("--store", "x")],
)
def test_a_bad_option_is_named(tmp_path: Path, app: str, option: str, value: str) -> None:
    assert option.removeprefix("--") in refusal_of(tmp_path, app, option, value)


async def test_a_taken_port_is_refused(tmp_path: Path, app: str, store_address: str) -> None:
    line = await asyncio.to_thread(refusal_of, tmp_path, app, "--listen", store_address, "--store", store_address)
    assert store_address in line


async def health(address: str) -> int:
    async with grpc.aio.insecure_channel(address) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    return int(answer.status)


async def test_a_runtime_waits_for_its_store_and_is_not_healthy_until_it_is_there(
    tmp_path: Path, store_process: StoreProcess
) -> None:
    store_process.kill()
    async with asyncio.timeout(30):
        waiting = asyncio.ensure_future(_served(store_process.address))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await asyncio.to_thread(store_process.start)
        assert await waiting == health_pb2.HealthCheckResponse.SERVING


async def _served(store: str) -> int:
    from tests.runtime_api.definitions_for_tests import echo

    async with running_runtime(store, echo) as runtime:
        return await health(runtime.address)


def test_a_runtime_that_still_waits_for_its_store_ends_at_a_signal(tmp_path: Path, app: str) -> None:
    process = RuntimeProcess(tmp_path, app, store="127.0.0.1:9")
    process.launch()
    try:
        process.wait_for_log("waiting for the store")
        assert process.terminate() == 0
    finally:
        process.kill()


async def started(address: str, workflow: str, text: str) -> str:
    async with runtime_stub(address) as stub:
        request = StartRunRequest(workflow_name=workflow, input=Payload(text=text))
        return str((await stub.StartRun(request)).run.run_id)


async def result(address: str, run_id: str) -> entity_pb2.Run:
    async with runtime_stub(address) as stub:
        answer = await stub.AwaitRun(AwaitRunRequest(run_id=run_id))
    assert answer.done
    return answer.run


async def test_a_drained_runtime_gives_its_runs_back_at_once_and_another_finishes_them(
    tmp_path: Path, app: str, store_address: str
) -> None:
    settings = {"HOLDFAST_DRAIN_SECONDS": "0.1", "HOLDFAST_LEASE": "60s"}
    async with RuntimeProcess(tmp_path, app, store=store_address, **settings) as first:
        run_id = await started(first.address, "job", '"log"')
        await eventually(lambda: asyncio.to_thread((tmp_path / "log").exists))
        assert await asyncio.to_thread(first.terminate) == 0
    async with RuntimeProcess(tmp_path, app, store=store_address) as second:
        run = await result(second.address, run_id)
    assert run.output.text == '"done"'


async def test_a_thread_that_never_returns_does_not_keep_a_drained_runtime_alive(
    tmp_path: Path, app: str, store_address: str
) -> None:
    async with RuntimeProcess(tmp_path, app, store=store_address, HOLDFAST_DRAIN_SECONDS="0.1") as process:
        await started(process.address, "stuck", "[]")
        await eventually(lambda: asyncio.to_thread((tmp_path / "hanging").exists))
        assert await asyncio.to_thread(process.terminate) == 0


async def test_a_killed_runtime_loses_nothing_that_it_acknowledged(
    tmp_path: Path, app: str, store_address: str
) -> None:
    async with RuntimeProcess(tmp_path, app, store=store_address, options=("--lease", "1s")) as process:
        run_id = await started(process.address, "job", '"log"')
        await eventually(lambda: asyncio.to_thread((tmp_path / "log").exists))
        await asyncio.to_thread(process.restart)
        assert (await result(process.address, run_id)).output.text == '"done"'
    assert (tmp_path / "log").read_text().count("begun") == 2


async def test_a_token_is_asked_of_callers_and_shown_to_the_store(tmp_path: Path, app: str) -> None:
    store = StoreProcess(tmp_path / "store.db", HOLDFAST_TOKEN="store-secret")
    tokens = {"HOLDFAST_TOKEN": "front-secret", "HOLDFAST_STORE_TOKEN": "store-secret"}
    try:
        async with RuntimeProcess(tmp_path, app, store=store.address, **tokens) as process:
            async with runtime_stub(process.address) as stub:
                assert (await refused(stub.GetRuntimeInfo(GetRuntimeInfoRequest()))).info.reason == "UNAUTHENTICATED"
                metadata = (("authorization", "Bearer front-secret"),)
                assert (await stub.GetRuntimeInfo(GetRuntimeInfoRequest(), metadata=metadata)).store_id
            assert "secret" not in process.errors
    finally:
        store.close()


async def test_a_store_that_is_away_is_not_ready_and_never_a_failed_run(
    tmp_path: Path, store_process: StoreProcess
) -> None:
    from tests.runtime_api.definitions_for_tests import echo

    async with running_runtime(store_process.address, echo) as runtime, runtime_stub(runtime.address) as stub:
        runtime.worker.store._retry_seconds = 0.2
        store_process.kill()
        request: Any = StartRunRequest(workflow_name="echo", input=Payload(text="1"), request_id="r1")
        refusal = await refused(stub.StartRun(request))
        assert (refusal.code.name, refusal.info.reason) == ("UNAVAILABLE", "NOT_READY")
        await asyncio.to_thread(store_process.start)
        runtime.worker.store._retry_seconds = 20.0
        run_id = (await stub.StartRun(request)).run.run_id
        assert (await stub.AwaitRun(AwaitRunRequest(run_id=run_id))).run.output.text == "1"
