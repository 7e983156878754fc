"""A workflow whose steps are run by workers in other programs: `render_worker.py` beside it, or clients/typescript.

Start it with `holdfast start films --input '["dune", 24]'`. While no worker of the queue "render" is there, it waits.
"""

from __future__ import annotations

from pydantic import BaseModel

from holdfast import RetryPolicy, remote_step, workflow


class Scene(BaseModel):
    """What the worker gets."""

    name: str
    frames: int


class Film(BaseModel):
    """What it gives back."""

    path: str
    frames: int
    resumed_from: int = 0


render = remote_step(
    "render",
    queue="render",
    input=Scene,
    output=Film,
    heartbeat_timeout="1s",
    retry=RetryPolicy(max_attempts=5, initial_interval=0.1, max_interval=1),
)


@workflow(name="films")
async def films(name: str, frames: int) -> str:
    """Render a film and say where it is."""
    film = await render(Scene(name=name, frames=frames))
    return f"{film.path}: {film.frames} frames, {film.resumed_from} of them by a worker that died"
