"""The workflows that the tests of the HTTP port start."""

from __future__ import annotations

import asyncio

from holdfast import Request, Response, RetryPolicy, hook, step, webhook, workflow

URLS: dict[str, str] = {}


@step
async def publish(key: str, url: str) -> None:
    URLS[key] = url


@step(retry=RetryPolicy(max_attempts=1))
async def greet(request: Request) -> bool:
    return await request.respond(Response(201, {"hello": request.json()["name"]}, {"X-Greeting": "yes"}))


@step
def greet_from_a_thread(request: Request) -> bool:
    return asyncio.run(request.respond(Response(body="from a thread")))


@step
async def greet_twice(request: Request) -> list[bool]:
    return [await request.respond(Response(body="first")), await request.respond(Response(body="second"))]


@workflow(name="receive")
async def receive(key: str, count: int) -> list[Request]:
    async with webhook() as hooks:
        await publish(key, hooks.url)
        return [await hooks for _ in range(count)]


@workflow(name="fixed")
async def fixed(key: str) -> bytes:
    async with webhook(
        respond_with=Response(200, "thanks", {"X-Kind": "fixed"}), metadata={"for": "payments"}
    ) as hooks:
        await publish(key, hooks.url)
        return (await hooks).body


@workflow(name="manual")
async def manual(key: str) -> bool:
    async with webhook(respond_with="manual") as hooks:
        await publish(key, hooks.url)
        return await greet(await hooks)


@workflow(name="manual-thread")
async def manual_thread(key: str) -> bool:
    async with webhook(respond_with="manual") as hooks:
        await publish(key, hooks.url)
        return await greet_from_a_thread(await hooks)


@workflow(name="manual-twice")
async def manual_twice(key: str) -> list[bool]:
    async with webhook(respond_with="manual") as hooks:
        await publish(key, hooks.url)
        return await greet_twice(await hooks)


@workflow(name="manual-never")
async def manual_never(key: str) -> str:
    async with webhook(respond_with="manual") as hooks:
        await publish(key, hooks.url)
        await hooks
    return "kept to itself"


@workflow(name="wrong-respond")
async def wrong_respond(key: str) -> bool:
    async with webhook() as hooks:
        await publish(key, hooks.url)
        return await greet(await hooks)


@workflow(name="respond-in-the-workflow")
async def respond_in_the_workflow(key: str) -> bool:
    async with webhook(respond_with="manual") as hooks:
        await publish(key, hooks.url)
        return await (await hooks).respond(Response())


@workflow(name="plain-hook")
async def plain_hook(token: str) -> str:
    async with hook(str, token=token) as values:
        return await values


ALL = (
    publish,
    greet,
    greet_from_a_thread,
    greet_twice,
    receive,
    fixed,
    manual,
    manual_thread,
    manual_twice,
    manual_never,
    wrong_respond,
    respond_in_the_workflow,
    plain_hook,
)
