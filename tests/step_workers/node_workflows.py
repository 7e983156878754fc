"""Workflows whose steps a program in TypeScript runs."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from holdfast import RetryPolicy, hook, remote_step, workflow

QUICK = RetryPolicy(max_attempts=3, initial_interval=0.05, backoff=1, jitter=0)


class Scene(BaseModel):
    name: str
    frames: int


render = remote_step("node.render", queue="node", input=Scene, output=dict[str, Any], heartbeat_timeout=2, retry=QUICK)
refuse = remote_step("node.refuse", queue="node", input=None, output=None, retry=QUICK)
hang = remote_step("node.hang", queue="node", input=None, output=None, heartbeat_timeout=5)


@workflow(name="node.film")
async def film(name: str, frames: int) -> dict[str, Any]:
    return await render(Scene(name=name, frames=frames))


@workflow(name="node.refused")
async def refused() -> None:
    await refuse()


@workflow(name="node.hanging")
async def hanging() -> None:
    await hang()


@workflow(name="node.approval")
async def approval(token: str) -> str:
    async with hook(dict[str, Any], token=token) as values:
        value = await values
    return f"approved by {value['by']}"


ALL = (film, refused, hanging, approval, render, refuse, hang)
