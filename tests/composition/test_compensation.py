"""What was done is undone in reverse, when the block fails or is cancelled, and a crash in between changes nothing."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast import Client, RunCancelled, RunFailed, Saga
from tests.composition import family
from tests.support.runtime import RuntimeProcess
from tests.support.store import StoreProcess

FORTH = ["flight", "hotel", "car"]
BACK = ["undo car", "undo hotel", "undo flight"]


async def test_a_block_that_ends_well_undoes_nothing(client: Client) -> None:
    assert await (await client.start(family.trip, "goes well")).result("20s") == "went"
    assert family.DONE == FORTH


async def test_a_block_that_fails_is_undone_in_reverse_and_its_error_goes_on(client: Client) -> None:
    with pytest.raises(RunFailed, match="no money"):
        await (await client.start(family.trip, "fails")).result("20s")
    assert [*FORTH, *BACK, "undo plainly"] == family.DONE


async def test_a_cancelled_run_is_undone_before_it_ends_as_cancelled(client: Client) -> None:
    run = await client.start(family.trip, "waits")
    async for event in run.events():
        if event.HasField("wait_created"):
            await run.cancel("changed my mind")
    with pytest.raises(RunCancelled, match="changed my mind"):
        await run.result("20s")
    assert family.DONE[:6] == [*FORTH, *BACK]


async def test_an_undo_that_fails_stops_no_other_and_is_told_beside_the_error(client: Client) -> None:
    with pytest.raises(RunFailed, match="some of its compensations too") as failed:
        await (await client.start(family.trip, "undo fails")).result("20s")
    assert failed.value.failure.cause.type == "holdfast.StepFailed"
    assert family.DONE[:6] == [*FORTH, *BACK]


async def test_undo_takes_a_function_and_its_arguments() -> None:
    with pytest.raises(TypeError, match=r"write add\(undo, x\)"):
        Saga().add("not a function")  # type: ignore[arg-type]


async def test_compensate_undoes_once_and_clear_forgets() -> None:
    done: list[int] = []
    saga = Saga()
    saga.add(done.append, 1)
    saga.add(done.append, 2)
    await saga.compensate()
    await saga.compensate()
    assert done == [2, 1]
    saga.add(done.append, 3)
    saga.clear()
    await saga.compensate()
    assert done == [2, 1]


@pytest.fixture
def runtime_process(tmp_path: Path, store_process: StoreProcess) -> Iterator[RuntimeProcess]:
    shutil.copy(family.__file__, tmp_path / "family.py")
    with RuntimeProcess(
        tmp_path,
        "family.py",
        store=store_process.address,
        options=("--lease", "1s"),
        FAMILY_NOTES=str(tmp_path / "notes"),
    ) as process:
        yield process


async def test_undoing_goes_on_after_the_process_was_killed_in_the_middle_of_it(
    tmp_path: Path, store_process: StoreProcess, runtime_process: RuntimeProcess
) -> None:
    notes = tmp_path / "notes"
    (tmp_path / "gate-car").touch()
    async with Client(runtime_process.address) as client:
        run = await client.start(family.trip, "fails", str(tmp_path))
        async with asyncio.timeout(30):
            while not notes.exists() or "undoing hotel" not in notes.read_text():  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)
        await asyncio.to_thread(runtime_process.restart)
        (tmp_path / "gate-hotel").touch()
        (tmp_path / "gate-flight").touch()
        with pytest.raises(RunFailed, match="no money"):
            await run.result("60s")
        undone = [it.correlation_id async for it in run.events() if it.HasField("step_completed")][3:]
    assert undone == [f"step_family.slow_undo#{number}" for number in (1, 2, 3)]
    # The body that was under way began twice, at least once being the promise; what was finished did not.
    assert notes.read_text().split("\n")[3:-1] == ["undoing car", *["undoing hotel"] * 2, "undoing flight"]
