"""What a module took before anybody could replace it is guarded all the same: defaults, factories, attributes.

Each case runs in a process of its own, which is the only place where nothing is guarded yet.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from holdfast import Client, RunHandle
from tests.support.runtime import RuntimeProcess
from tests.support.store import Store, eventually

MODULE = """
import dataclasses, datetime, random, time, uuid
from functools import cache
from typing import Any
import pydantic
from holdfast import step, workflow

def stamp(clock: Any = time.time) -> float:
    return clock()

def stamp_by_name(*, clock: Any = time.time) -> float:
    return clock()

def enclosed(clock: Any) -> Any:
    def inner() -> Any:
        return clock()
    return inner

stamp_of_cell = enclosed(uuid.uuid4)

@dataclasses.dataclass
class Order:
    at: float = dataclasses.field(default_factory=time.time)

@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    number: uuid.UUID = dataclasses.field(default_factory=uuid.uuid4)

class Model(pydantic.BaseModel):
    at: float = pydantic.Field(default_factory=time.time)
    dice: float = pydantic.Field(default_factory=random.random)

class Now(pydantic.BaseModel):
    at: datetime.datetime = pydantic.Field(default_factory=datetime.datetime.utcnow)

class Clock:
    read = staticmethod(time.time)
    def today(self, ask: Any = datetime.date.today) -> Any:
        return ask()
    class Inner:
        read = staticmethod(time.monotonic)

@step(name="adopting.step")
async def stamped(clock: float = 0.0) -> Order:
    return Order()

CASES = {
    "a default argument": lambda: stamp(),
    "a keyword default": lambda: stamp_by_name(),
    "a closure": lambda: stamp_of_cell(),
    "a dataclass": lambda: Order(),
    "a frozen dataclass with slots": lambda: Line(),
    "a pydantic model": lambda: Model(),
    "a pydantic model that validates": lambda: Model.model_validate({}),
    "a class method as a factory": lambda: Now(),
    "a static method": lambda: Clock.read(),
    "a method's default": lambda: Clock().today(),
    "a nested class": lambda: Clock.Inner.read(),
}

@workflow(name="adopting.body")
async def body(case: str) -> str:
    CASES[case]()
    return "not seen"

@workflow(name="adopting.step_is_free")
async def free() -> bool:
    return (await stamped()).at > 0
"""

PROGRAM = """
import asyncio, sys
import adopted
from holdfast import NotDeterministic
from holdfast.testing import Environment

async def main() -> None:
    async with Environment() as env:
        assert await env.run(adopted.free)
        for case in adopted.CASES:
            try:
                await asyncio.wait_for(env.run(adopted.body, case), 20)
            except Exception as refused:
                assert "in a workflow body" in str(refused), (case, refused)
            else:
                raise AssertionError(f"{case} is not refused")
asyncio.run(main())
adopted.Order(), adopted.Line(), adopted.Model(), adopted.Now(), adopted.stamp(), adopted.Clock.read()
print("and all of it works outside")
"""

PACKAGE = """
from time import time

CLOCKS = {"wall": time}

def stamped() -> float:
    return CLOCKS["wall"]()
"""

USES_PACKAGE = """
import stamping
from holdfast import workflow

@workflow(name="adopting.by_package")
async def by_package() -> float:
    return stamping.stamped()
"""


def test_what_a_module_took_before_the_guard_came_is_refused_in_bodies_and_works_outside(tmp_path: Path) -> None:
    (tmp_path / "adopted.py").write_text(MODULE)
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{Path.cwd()}:{tmp_path}", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert ran.stdout.splitlines()[-1] == "and all of it works outside"


async def test_an_installed_package_takes_no_clock_past_the_guard_of_a_runtime(store: Store, tmp_path: Path) -> None:
    """It is imported after the guard is in place, so that what it binds is guarded, wherever it puts it."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "stamping.py").write_text(PACKAGE)
    (tmp_path / "uses_package.py").write_text(USES_PACKAGE)
    path = f"{Path.cwd()}:{tmp_path / 'site'}"
    async with (
        RuntimeProcess(tmp_path, "uses_package.py", store=store.address, PYTHONPATH=path) as runtime,
        Client(runtime.address) as client,
    ):
        run = await client.start("adopting.by_package")
        reason = await eventually(lambda: _why_blocked(run))
        assert "time.time()" in reason and "holdfast.now()" in reason


async def _why_blocked(run: RunHandle[Any]) -> str:
    described = await run.describe()
    return described.last_replay_failure.message if described.HasField("last_replay_failure") else ""
