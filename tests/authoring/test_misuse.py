"""Every wrong use has a message of its own that says what to do. Each row is what somebody once wrote."""

from __future__ import annotations

import asyncio
import functools
import warnings
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

import holdfast
from holdfast import Client, Response, RetryPolicy, Saga, StreamWriter, SyncClient, hook, sleep, step, stream, workflow
from holdfast.testing import Environment, RunStuck


async def at_once() -> None: ...


async def generator() -> Any:
    yield 1


def plain() -> None: ...


def plain_generator() -> Iterator[int]:
    yield 1


@step(name="misuse.work")
async def work(n: int = 0) -> int:
    return n


@workflow(name="misuse.once")
async def once() -> None: ...


# In a workflow body.


async def awaits_a_hook_twice_at_once() -> None:
    async with hook(int) as numbers:
        await asyncio.gather(anext(numbers), anext(numbers))


async def awaits_a_hook_after_its_block() -> None:
    async with hook(int) as numbers:
        pass
    await numbers


async def starts_by_a_client() -> None:
    async with Client("127.0.0.1:1") as client:
        await client.start(once)


async def resumes_by_a_client() -> None:
    async with Client("127.0.0.1:1") as client:
        await client.resume("token", 1)


def starts_by_a_sync_client() -> None:
    SyncClient("127.0.0.1:1").start(once)


BODIES: list[tuple[Callable[[], Any], str, str]] = [
    (awaits_a_hook_twice_at_once, "WrongContext", "hook_#1 is awaited by another task already.*asyncio.Queue"),
    (awaits_a_hook_after_its_block, "HookDisposed", "disposed: no payload will come"),
    (starts_by_a_client, "WrongContext", "cannot call a runtime: move the call into a step"),
    (resumes_by_a_client, "WrongContext", "cannot call a runtime: move the call into a step"),
    (starts_by_a_sync_client, "WrongContext", "cannot call a runtime: move the call into a step"),
    (lambda: stream("x").write(1), "WrongContext", "pass the handle to a step and write there"),
    (lambda: stream("x").close(), "WrongContext", "pass the handle to a step and close there"),
    (lambda: stream("x y"), "ValueError", "a stream name is 1 to 128 characters"),
    (lambda: stream("x", type="int"), "TypeError", r"stream\(type=…\) takes a type, .*got 'int'"),
    (lambda: hook("Approval"), "TypeError", r"hook\(T\) takes a type, .*got 'Approval'"),
    (lambda: hook(int, token=""), "ValueError", "None generates one"),
    (lambda: hook(int, min_retention="soon"), "ValueError", "expected a duration like"),
    (lambda: holdfast.webhook(respond_with="later"), "ValueError", 'a Response or "manual"'),  # type: ignore[arg-type]
    (lambda: holdfast.step_info(), "WrongContext", r"in a workflow use run_info\(\)"),
    (lambda: holdfast.heartbeat(), "WrongContext", "a workflow body needs none"),
    (lambda: holdfast.last_heartbeat(), "WrongContext", "for steps"),
    (lambda: holdfast.cancelled(), "WrongContext", "for steps"),
    (lambda: sleep("soon"), "ValueError", "expected a duration like"),
    (lambda: sleep(-1), "ValueError", "must not be negative"),
    (lambda: sleep(datetime(2030, 1, 1)), "ValueError", "with a time zone.*datetime.now"),
    (lambda: holdfast.set_attributes(n=5), "TypeError", "'n' must be text or None"),  # type: ignore[arg-type]
    (lambda: holdfast.set_attributes(long="x" * 257), "LimitExceeded", "'long' is too long"),
    (lambda: holdfast.patched(""), "ValueError", "takes the name of a change"),
    (lambda: holdfast.start(work), "TypeError", "expected a function with @workflow or the name of one"),
    (lambda: holdfast.start("misuse.once", on_conflict="maybe"), "ValueError", "one of fail, use_existing"),
    (lambda: work(1, 2), "TypeError", "too many positional arguments"),  # type: ignore[call-arg]
    (lambda: work("one"), "SerializationError", "parameter 'n' is not a valid int"),  # type: ignore[arg-type]
    (lambda: work(asyncio.Event()), "SerializationError", "parameter 'n'"),  # type: ignore[arg-type]
    (lambda: Saga().add(work(1)), "TypeError", r"write add\(undo, x\) and not add\(undo\(x\)\)"),  # type: ignore[arg-type]
    (lambda: Response(status=9999), "ValueError", "200 to 599"),
    (lambda: asyncio.run(at_once()), "RuntimeError", "cannot be called from a running event loop"),
]


# In a step.


async def writes_after_the_close() -> None:
    words: StreamWriter[str] = stream("words", type=str)
    await words.close()
    await words.write("late")


async def writes_another_type() -> None:
    await stream("numbers", type=int).write("one")  # type: ignore[arg-type]


STEPS: list[tuple[Callable[[], Any], str, str]] = [
    (lambda: sleep(1), "WrongContext", r"in a step use asyncio.sleep\(\) or time.sleep\(\)"),
    (lambda: hook(int), "WrongContext", "a step returns, and the workflow waits"),
    (lambda: holdfast.webhook(), "WrongContext", "a step returns, and the workflow waits"),
    (lambda: holdfast.start(once), "WrongContext", "in a step use a Client"),
    (lambda: holdfast.ChildRun("run_1").status(), "WrongContext", "in a step use a Client"),
    (lambda: holdfast.patched("x"), "WrongContext", "a step always runs the code of its process"),
    (writes_after_the_close, "StreamClosed", r"write before close\(\)"),
    (writes_another_type, "SerializationError", "stream numbers: .*int"),
    (lambda: holdfast.heartbeat(object()), "SerializationError", "no JSON form"),
    (lambda: holdfast.set_attributes(n=5), "TypeError", "'n' must be text or None"),  # type: ignore[arg-type]
]


# Anywhere else.

OUTSIDE: list[tuple[Callable[[], Any], type[BaseException], str]] = [
    (lambda: hook(int), holdfast.WrongContext, r"outside, `await client.hook\(token\)`"),
    (lambda: holdfast.webhook(), holdfast.WrongContext, r"outside, `await client.hook\(token\)`"),
    (lambda: stream(), holdfast.WrongContext, r"to read one use run.stream\(\)"),
    (lambda: holdfast.start(once), holdfast.WrongContext, "outside use `await client.start"),
    (lambda: holdfast.run_info(), holdfast.WrongContext, "works in workflows and steps that a runtime runs"),
    (lambda: holdfast.step_info(), holdfast.WrongContext, "works in steps that a runtime runs"),
    (lambda: holdfast.set_attributes(a="b"), holdfast.WrongContext, "works in workflows and steps"),
    (lambda: workflow(plain), TypeError, "write async def, or make it a @step"),  # type: ignore[type-var]
    (lambda: workflow(generator), TypeError, "await steps instead of yielding them"),  # type: ignore[type-var]
    (lambda: workflow(plain_generator), TypeError, "await steps instead of yielding them"),  # type: ignore[type-var]
    (lambda: workflow("checkout"), TypeError, r"options go by keyword: @workflow\(name=…\)"),  # type: ignore[call-overload]
    (lambda: step(generator), TypeError, r"return a list, or write the items to a stream\(\)"),
    (lambda: step("charge"), TypeError, r"options go by keyword: @step\(name=…\)"),  # type: ignore[call-overload]
    (lambda: step(functools.partial(plain)), TypeError, "decorates a function"),
    (lambda: step(name="misuse.retry", retry=3)(plain), ValueError, r"RetryPolicy\(max_attempts=1\)"),  # type: ignore[call-overload]
    (lambda: step(name="misuse.bound", timeout="soon")(plain), ValueError, "timeout: expected a duration like"),
    (lambda: step(name="")(plain), ValueError, "1 to 256 printable characters"),
    (
        lambda: step(name="misuse.work")(plain),
        ValueError,
        "registered twice, at .* and at .*; give one of them",
    ),
    (lambda: workflow(name="misuse.once")(at_once), ValueError, "registered twice, at .* and at .*; give one of them"),
    (lambda: RetryPolicy(max_attempts=0), ValueError, "max_attempts must be a whole number from 1"),
    (lambda: RetryPolicy(non_retryable=("ValueError",)), ValueError, "must be exception classes"),  # type: ignore[arg-type]
    (lambda: holdfast.RetryableError("x", retry_after="soon"), ValueError, "retry_after: expected a duration like"),
    (lambda: Client(7702), TypeError, 'text like "127.0.0.1:7702"'),  # type: ignore[arg-type]
    (lambda: Environment(crash="sometimes"), ValueError, 'crash must be "everywhere" or None'),  # type: ignore[arg-type]
]


def numbered(rows: list[tuple[Callable[[], Any], Any, str]]) -> list[Any]:
    return [pytest.param(number, id=f"{number} {words[:40]}") for number, (_, _, words) in enumerate(rows)]


async def told(call: Callable[[], Any]) -> list[str]:
    try:
        found = call()
        if isinstance(found, Awaitable):
            await found
    except Exception as error:
        return [type(error).__name__, str(error)]
    return ["nothing", ""]


@step(name="misuse.in_a_step")
async def in_a_step(number: int) -> list[str]:
    return await told(STEPS[number][0])


@workflow(name="misuse.of_a_step")
async def of_a_step(number: int) -> list[str]:
    return await in_a_step(number)


@workflow(name="misuse.of_a_body")
async def of_a_body(number: int) -> list[str]:
    return await told(BODIES[number][0])


def check(found: list[str], kind: str, words: str) -> None:
    assert found[0] == kind, found
    with pytest.raises(LookupError, match=f"(?s){words}"):
        raise LookupError(found[1])


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("number", numbered(BODIES))
async def test_misuse_in_a_workflow_body_says_what_to_do(number: int) -> None:
    async with Environment() as env:
        check(await env.run(of_a_body, number), *BODIES[number][1:])


@pytest.mark.parametrize("number", numbered(STEPS))
async def test_misuse_in_a_step_says_what_to_do(number: int) -> None:
    async with Environment() as env:
        check(await env.run(of_a_step, number), *STEPS[number][1:])


@pytest.mark.parametrize("number", numbered(OUTSIDE))
def test_misuse_elsewhere_says_what_to_do(number: int) -> None:
    call, kind, words = OUTSIDE[number]
    with pytest.raises(kind, match=words):
        call()


async def test_a_call_that_nobody_awaits_is_warned_about_by_its_name() -> None:
    @workflow(name="misuse.forgetful")
    async def forgetful() -> None:
        work(1)
        holdfast.set_attributes(stage="paid")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        async with Environment() as env:
            await env.run(forgetful)
    said = {str(it.message) for it in caught}
    assert {"coroutine 'work' was never awaited", "coroutine 'set_attributes' was never awaited"} <= said


async def test_a_loser_of_a_race_for_a_hook_leaves_it_to_the_next() -> None:
    @workflow(name="misuse.again")
    async def again() -> int:
        async with hook(int, token="again") as numbers:
            waiting = asyncio.create_task(anext(numbers))
            await sleep(1)
            waiting.cancel()
            return await numbers

    async with Environment() as env:
        run = await env.client.start(again)
        await env.advance("1m")
        await env.client.resume("again", 5)
        assert await run.result() == 5


async def test_a_blocked_run_says_why_also_to_who_waits_for_a_while() -> None:
    @workflow(name="misuse.blocked")
    async def blocked() -> None:
        import time

        time.time()

    async with Environment() as env:
        run = await env.client.start(blocked)
        with pytest.raises(RunStuck, match=r"holdfast.now\(\)"):
            await run.result(timeout="365d")
        await env.advance("365d")
        assert (await run.describe()).last_replay_failure.type == "NotDeterministic"
