"""`holdfast check` and `holdfast replay`: new code against the runs of a real store, with nothing written."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from holdfast import Client
from tests.support.runtime import RuntimeProcess
from tests.support.store import Store
from tests.worker.interference import log_of
from tests.worker.test_runs import until_open

OLD = """
from holdfast import hook, step, workflow

@step(name="reserve")
async def reserve(item: str) -> str:
    return f"reserved {item}"

@step(name="charge")
async def charge(item: str) -> str:
    return f"charged {item}"

@workflow(name="order")
async def order(item: str) -> str:
    await reserve(item)
    async with hook(str, token=f"order:{item}") as approvals:
        await approvals
    return await charge(item)

@workflow(name="quick")
async def quick(item: str) -> str:
    return await reserve(item)
"""

#: The file is written anew within a second, which compiled files would not notice.
NO_CACHE = {"PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"}

#: A step that runs in flight do not have, where they have gone past.
CHANGED = OLD.replace("    await reserve(item)\n    async", "    await charge(item)\n    async")

#: The same, for runs that come there after the change.
PATCHED = OLD.replace("hook, step", "hook, patched, step").replace(
    "    await reserve(item)\n", "    await (charge(item) if patched('charge first') else reserve(item))\n"
)

#: A change behind everything that runs have done so far.
LATER = OLD.replace("return await charge(item)", "return await charge(item + '!')")


@pytest.fixture
async def open_runs(store: Store, tmp_path: Path) -> AsyncIterator[Path]:
    """Two open orders and an ended quick one, begun by code in a folder of its own; no runtime is left."""
    async with serving(store, tmp_path, OLD) as client:
        for item in ("a", "b"):
            await client.start("order", item, id=f"order-{item}")
            await until_open(client, f"order:{item}")
        await (await client.start("quick", "c", id="quick-c")).result(timeout="20s")
    yield tmp_path


@asynccontextmanager
async def serving(store: Store, folder: Path, code: str) -> AsyncIterator[Client]:
    """A runtime as a process with this code, and a client on it."""
    (folder / "shop.py").write_text(code)
    process = RuntimeProcess(folder, "shop.py", store=store.address, options=["--lease", "2s"], **NO_CACHE)
    async with process as runtime, Client(runtime.address) as client:
        yield client


async def say(folder: Path, code: str, *words: str) -> tuple[int, str, str]:
    """Run a command of holdfast beside this code: exit code, stdout, stderr."""
    (folder / "shop.py").write_text(code)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "holdfast.cli", *words),
        cwd=folder,
        env={**os.environ, **NO_CACHE},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), errors.decode()


async def test_code_that_does_what_it_did_passes(store: Store, open_runs: Path) -> None:
    code, out, errors = await say(open_runs, OLD, "check", "shop.py", "--against", store.address)
    assert (code, errors) == (0, "")
    assert "2 open and 1 ended runs replayed, none diverge" in out


async def test_a_change_behind_what_runs_have_done_passes(store: Store, open_runs: Path) -> None:
    code, _, _ = await say(open_runs, LATER, "check", "shop.py", "--against", store.address)
    assert code == 0


async def test_runs_that_would_break_are_grouped_by_where_they_part_and_nothing_is_written(
    store: Store, open_runs: Path
) -> None:
    before = [len(await log_of(store, f"order-{item}")) for item in "ab"]
    code, out, _ = await say(open_runs, CHANGED, "check", "shop.py", "--against", store.address, "--json")
    runs = json.loads(out)["runs"]
    assert code == 1
    assert (runs["open"], runs["ended"], runs["diverging"]) == (2, 1, 2)
    [group] = runs["groups"]
    assert (group["workflow"], group["kind"], group["entity_id"]) == ("order", "step_created", "step_reserve#*")
    assert sorted(it["run_id"] for it in group["runs"]) == ["order-a", "order-b"]
    assert "reserve" in group["message"] and "charge" in group["message"]
    assert re.search(r"shop\.py:\d+\).*shop\.py:\d+\)", group["message"]), "both lines are named"
    assert [len(await log_of(store, f"order-{item}")) for item in "ab"] == before
    _, out, _ = await say(open_runs, CHANGED, "check", "shop.py", "--against", store.address)
    assert "order: 2 runs diverge at step_created step_reserve#1" in out


async def test_patched_lets_the_change_pass_and_the_runs_end(store: Store, open_runs: Path) -> None:
    code, out, _ = await say(open_runs, PATCHED, "check", "shop.py", "--against", store.address)
    assert code == 0, out
    async with serving(store, open_runs, PATCHED) as client:
        await client.resume("order:a", "yes")
        assert await client.run("order-a").result(timeout="20s") == "charged a"
        await client.start("order", "n", id="order-n")
        await until_open(client, "order:n")
    kinds = [it.WhichOneof("attributes") for it in await log_of(store, "order-n")]
    assert kinds[:4] == ["run_created", "run_started", "patch_applied", "step_created"]
    assert not any(it.HasField("patch_applied") for it in await log_of(store, "order-a"))


async def test_an_open_run_whose_workflow_is_gone_is_found_unless_that_is_fine(store: Store, open_runs: Path) -> None:
    gone = OLD.replace('name="order"', 'name="orders"')
    words = ("check", "shop.py", "--against", store.address)
    code, out, _ = await say(open_runs, gone, *words)
    assert code == 1 and "order: no module here defines it, 2 open runs would wait for it" in out
    assert (await say(open_runs, gone, *words, "--ignore-unknown"))[0] == 0


async def test_open_runs_of_another_version_are_left_to_it(store: Store, open_runs: Path) -> None:
    versioned = CHANGED.replace('name="order"', 'name="order", version="2"')
    code, out, _ = await say(open_runs, versioned, "check", "shop.py", "--against", store.address)
    assert code == 0 and "order: 2 open runs stay with the runtimes of their version" in out


async def test_ended_runs_are_a_sample(store: Store, open_runs: Path) -> None:
    changed = OLD.replace("    return await reserve(item)\n", "    return await charge(item)\n")
    words = ("check", "shop.py", "--against", store.address)
    code, out, _ = await say(open_runs, changed, *words)
    assert code == 1 and "quick: 1 runs diverge at step_created step_reserve#1" in out
    assert (await say(open_runs, changed, *words, "--sample", "0"))[0] == 0


async def test_replay_tells_what_each_event_did_and_ends_with_what_is_pending(store: Store, open_runs: Path) -> None:
    code, out, errors = await say(open_runs, OLD, "replay", "order-a", "shop.py", "--store", store.address)
    assert (code, errors) == (0, "")
    lines = out.splitlines()
    asked = next(index for index, line in enumerate(lines) if "→ a call of step reserve (step_reserve#1)" in line)
    assert "run_started" in lines[asked - 1] and re.search(r"shop\.py:\d+$", lines[asked])
    assert lines[-1] == "no decision is pending"


async def test_replay_shows_the_decisions_that_are_not_written_yet(store: Store, open_runs: Path) -> None:
    await store.client.events.CreateEvent(_value_for(await _hook_of(store, "order-a")))
    words = ("replay", "order-a", "shop.py", "--store", store.address)
    _, out, _ = await say(open_runs, OLD, *words)
    pending = out[out.index("pending decisions:") :]
    assert "the disposal of hook" in pending and "a call of step charge (step_charge#1)" in pending
    _, out, _ = await say(open_runs, OLD, *words, "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["event"]["seq"] for line in lines[:-1]] == [str(n) for n in range(1, len(lines))]
    assert len(lines[-1]["pending"]) == 2


async def test_replay_stops_where_the_code_parts_from_the_log(store: Store, open_runs: Path) -> None:
    code, out, _ = await say(open_runs, CHANGED, "replay", "order-a", "shop.py", "--store", store.address)
    assert code == 1
    assert "✗ event 3: the log expects a call of step reserve" in out.splitlines()[-1]


async def test_wrong_use_is_2_and_a_store_that_is_away_is_3(store: Store, tmp_path: Path) -> None:
    assert (await say(tmp_path, OLD, "replay", "run_unknown", "shop.py", "--store", store.address))[0] == 2
    assert (await say(tmp_path, OLD, "check", "missing.py"))[0] == 2
    code, _, errors = await say(tmp_path, OLD, "check", "shop.py", "--against", "127.0.0.1:1")
    assert code == 3 and "127.0.0.1:1" in errors and len(errors.strip().splitlines()) == 1


BROKEN: list[tuple[str, str]] = [
    ("from threading import Lock\n@step\nasync def s(x: Lock) -> None: ...", "parameter 'x' has the type"),
    ("@step\nasync def s(x: 'Missing') -> None: ...", "Missing"),
    ("@workflow\nasync def w() -> 'Missing': ...", "Missing"),
]


@pytest.mark.parametrize(("definition", "words"), BROKEN)
async def test_definitions_that_cannot_work_are_found_without_a_store(
    tmp_path: Path, definition: str, words: str
) -> None:
    code, out, _ = await say(tmp_path, f"from holdfast import step, workflow\n{definition}\n", "check", "shop.py")
    assert code == 1 and words in out
    assert re.match(r".*shop\.py:\d+: shop\.[sw]: ", out)


async def test_definitions_that_work_pass(tmp_path: Path) -> None:
    assert await say(tmp_path, OLD, "check", "shop.py") == (0, "4 definitions, no problems\n", "")


async def test_a_name_that_is_taken_twice_is_wrong_use(tmp_path: Path) -> None:
    twice = OLD + '\n@step(name="charge")\nasync def other() -> None: ...\n'
    code, _, errors = await say(tmp_path, twice, "check", "shop.py")
    assert code == 2 and "registered twice" in errors


async def _hook_of(store: Store, run_id: str) -> Any:
    return next(it for it in await log_of(store, run_id) if it.HasField("hook_created"))


def _value_for(hook: Any) -> Any:
    from holdfast.v1 import event_pb2, store_service_pb2

    event = event_pb2.Event(correlation_id=hook.correlation_id, hook_received=event_pb2.HookReceived())
    event.hook_received.payload.text = '"yes"'
    return store_service_pb2.CreateEventRequest(run_id=hook.run_id, event=event)
