"""Wall clocks that are set, stopped and too fast, in the store and in a runtime, change nothing but time stamps.

Real processes, each with a wall of its own (``walls.py``). While a step is held by one runtime and another stands by,
the walls are moved under them, and after each move a run sleeps: never too short, never for ever.
"""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator
from pathlib import Path

from tests.checkers.log_audit import audit_file
from tests.clocks.walls import Wall
from tests.hazards.hazard_workflows import marks
from tests.hazards.stage import LEASE_SECONDS, Stage
from tests.storms.store_calls import output

ROOT = Path(__file__).parents[2]

#: Sleeps of a run, their length, and the most by which the store's clock may run fast while it follows its wall.
NAPS = 2
NAP_SECONDS = 0.25
SLEW = 0.1

#: Seconds after which a run that sleeps so little has been lost.
LATE_SECONDS = 8.0

HOUR = 3600.0
YEARS = 10 * 365 * 24 * HOUR

#: What happens: (wall of the store, wall of the runtime that holds the step), each as seconds ahead and rate.
READINGS = {
    "an hour ahead, and behind": ((HOUR, 1.0), (-HOUR, 1.0)),
    "an hour behind, and ahead": ((-HOUR, 1.0), (HOUR, 1.0)),
    "ten years ahead": ((YEARS, 1.0), (0.0, 1.0)),
    "and back": ((0.0, 1.0), (YEARS, 1.0)),
    "stopped": ((0.0, 0.0), (-YEARS, 0.0)),
    "three times as fast": ((0.0, 3.0), (0.0, 0.3)),
    "three times as slow": ((0.0, 0.3), (0.0, 3.0)),
    "five minutes apart": ((150.0, 1.0), (-150.0, 1.0)),
}


async def test_walls_that_are_moved_end_no_sleep_early_and_steal_no_lease(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    walls = [Wall(tmp_path / name) for name in ("store-wall", "holder-wall")]
    for wall in walls:
        wall.set(0.0)
    try:
        await stage.begin(walls[0])
        await _move_the_walls(stage, *walls)
    finally:
        await stage.end()
    assert (await audit_file(tmp_path / "store.db")).findings == []


async def _move_the_walls(stage: Stage, store_wall: Wall, holder_wall: Wall) -> None:
    holder = await stage.runtime(fault=holder_wall)
    await stage.start("run_step", "one_step", str(stage.folder))
    await stage.marked("gated 1")
    await stage.runtime()
    for number, (what, readings) in enumerate(READINGS.items()):
        for wall, (ahead, rate) in zip((store_wall, holder_wall), readings, strict=True):
            wall.set(ahead, rate)
        await _sleep_a_little(stage, f"run_naps_{number}", what)
    assert len(marks(stage.folder)) == 1, "the lease was stolen"
    store_wall.set(-HOUR)
    await holder.kill()
    killed_at = time.monotonic()
    await stage.marked("gated 2")
    assert time.monotonic() - killed_at < LEASE_SECONDS * (1 + SLEW) + 2.0, "the lease did not end"
    stage.allow()
    assert output(await stage.ended("run_step")) == 2


async def _sleep_a_little(stage: Stage, run_id: str, what: str) -> None:
    began = time.monotonic()
    await stage.start(run_id, "naps", NAPS, NAP_SECONDS)
    log = await stage.calls.ended(run_id, LATE_SECONDS)
    took = time.monotonic() - began
    print(f"walls {what}: {NAPS} sleeps of {NAP_SECONDS} s took {took:.2f} s")
    assert output(log) == NAPS
    assert took >= NAPS * NAP_SECONDS * (1 - SLEW), f"walls {what}: a sleep ended early"
    due = {it.correlation_id: it.wait_created.resume_time.ToMilliseconds() for it in log if it.HasField("wait_created")}
    fired = {it.correlation_id: it.create_time.ToMilliseconds() for it in log if it.HasField("wait_completed")}
    assert all(fired[wait_id] >= due[wait_id] for wait_id in due), f"walls {what}: early by the store's clock"


async def test_a_lease_of_a_store_whose_wall_was_wrong_ends_after_its_restart(tmp_path: Path) -> None:
    """(1) the wall is ten years ahead; (2) a run is leased; (3) store and holder die; (4) the wall is put right."""
    stage, wall = Stage(tmp_path), Wall(tmp_path / "wall")
    wall.set(YEARS)
    try:
        await stage.begin(wall)
        holder = await stage.runtime()
        await stage.start("run_step", "one_step", str(stage.folder))
        await stage.marked("gated 1")
        await holder.kill()
        await stage.store.kill()
        wall.set(0.0)
        await stage.store.start(wall)
        await stage.runtime()
        stage.allow()
        assert output(await stage.ended("run_step")) == 2
    finally:
        await stage.end()


#: The clocks, the walls that engines give to the store's clock, and a number that only has to rise.
READS_THE_WALL = {
    "runtime_service/worker/clock.py",
    "store_service/api/clock.py",
    "store_service/engines/postgres/engine.py",
    "store_service/engines/postgres/queue_transaction.py",
    "store_service/engines/sqlite/engine.py",
    "store_service/engines/sqlite/memory.py",
}


def test_services_read_the_wall_in_few_places() -> None:
    """Elsewhere time comes from a clock, so that no other code can be fooled by a wall."""
    files = [path for name in ("store_service", "runtime_service") for path in (ROOT / name).rglob("*.py")]
    found = {str(path.relative_to(ROOT)) for path in files if list(_readings(ast.parse(path.read_text())))}
    assert found == READS_THE_WALL


def _readings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
            if name in ("time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "date.today"):
                yield name
