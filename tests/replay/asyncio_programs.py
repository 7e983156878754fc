"""Random programs of plain asyncio: what they do is told by a trace, which is the same on every right event loop.

A program is a tree of small constructs that sleep, fail, are cancelled, time out and clean up. Every time in it is
drawn from a wide range, so that nothing of weight happens at the same moment twice.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

#: Longest single wait, seconds.
SECONDS_MAX = 1_000.0
DEPTH_MAX = 4


@dataclass
class Player:
    """Plays one program that began at a time of its loop; what happened is in ``trace``."""

    rng: random.Random
    begun: float
    trace: list[str] = field(default_factory=list)
    count: int = 0

    async def play(self, depth: int = 0) -> int:
        """Play one construct, with others inside; returns its number."""
        self.count += 1
        number = self.count
        kinds = LEAVES if depth >= DEPTH_MAX else [*CONSTRUCTS, *LEAVES]
        construct = self.rng.choice(kinds)
        self.note(number, f"begins {construct.__name__}")
        try:
            await construct(self, number, depth + 1)
        except BaseException as error:
            self.note(number, f"raises {described(error)}")
            raise
        self.note(number, "returns")
        return number

    def note(self, number: int, what: str) -> None:
        task = asyncio.current_task()
        asked = task.cancelling() if task is not None else 0
        seconds = asyncio.get_running_loop().time() - self.begun
        self.trace.append(f"{seconds:.3f}: {number} {what}, {asked} cancellations")

    def seconds(self) -> float:
        return round(self.rng.uniform(0.001, SECONDS_MAX), 3)

    def several(self, depth: int) -> list[Awaitable[int]]:
        # Programs of their own: what one draws must not depend on when another one runs.
        return [self.branch().play(depth) for _ in range(self.rng.randint(1, 3))]

    def branch(self) -> Player:
        self.count += 100
        return Player(random.Random(self.rng.random()), self.begun, self.trace, self.count)


def described(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return f"{type(error).__name__}[{', '.join(map(described, error.exceptions))}]"
    return f"{type(error).__name__}({error})"


async def sleeps(player: Player, number: int, depth: int) -> None:
    await asyncio.sleep(player.seconds())


async def yields(player: Player, number: int, depth: int) -> None:
    await asyncio.sleep(0)


async def fails(player: Player, number: int, depth: int) -> None:
    await asyncio.sleep(player.seconds())
    raise player.rng.choice([ValueError, KeyError, OSError])(number)


async def cleans_up(player: Player, number: int, depth: int) -> None:
    try:
        await player.branch().play(depth)
    finally:
        await asyncio.sleep(player.seconds())


async def swallows(player: Player, number: int, depth: int) -> None:
    try:
        await player.branch().play(depth)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        assert task is not None
        player.note(number, f"swallows, {task.uncancel()} left")


async def catches(player: Player, number: int, depth: int) -> None:
    try:
        await player.branch().play(depth)
    except* (ValueError, KeyError) as found:
        player.note(number, f"catches {described(found)}")


async def gathers(player: Player, number: int, depth: int) -> None:
    found = await asyncio.gather(*player.several(depth), return_exceptions=player.rng.random() < 0.5)
    player.note(number, f"gathered {[described(it) if isinstance(it, BaseException) else it for it in found]}")


async def groups(player: Player, number: int, depth: int) -> None:
    async with asyncio.TaskGroup() as group:
        for work in player.several(depth):
            group.create_task(work)  # type: ignore[arg-type]
        if player.rng.random() < 0.5:
            await player.branch().play(depth)


async def times_out(player: Player, number: int, depth: int) -> None:
    try:
        async with asyncio.timeout(player.seconds()) as bound:
            await player.branch().play(depth)
    except TimeoutError:
        player.note(number, f"timed out, {bound.expired()}")


async def shields(player: Player, number: int, depth: int) -> None:
    inner = asyncio.create_task(player.branch().play(depth))  # type: ignore[arg-type]
    try:
        await asyncio.shield(inner)
    except asyncio.CancelledError:
        player.note(number, f"let go, inner is done: {inner.done()}")
        await asyncio.wait({inner})
        raise


async def races(player: Player, number: int, depth: int) -> None:
    tasks = [asyncio.create_task(it) for it in player.several(depth)]  # type: ignore[arg-type]
    how = player.rng.choice([asyncio.FIRST_COMPLETED, asyncio.FIRST_EXCEPTION, asyncio.ALL_COMPLETED])
    try:
        done, _ = await asyncio.wait(tasks, timeout=player.seconds(), return_when=how)
        player.note(number, f"{how}: {[it in done for it in tasks]}")
    finally:
        for task in tasks:
            task.cancel("lost")
        await asyncio.gather(*tasks, return_exceptions=True)


async def takes_as_completed(player: Player, number: int, depth: int) -> None:
    # Tasks: CPython begins bare coroutines in the order of a set, which is any.
    tasks = [asyncio.create_task(it) for it in player.several(depth)]  # type: ignore[arg-type]
    for following in asyncio.as_completed(tasks):
        player.note(number, f"next is {await following}")


async def is_cancelled(player: Player, number: int, depth: int) -> None:
    inner = asyncio.create_task(player.branch().play(depth))  # type: ignore[arg-type]
    for _ in range(player.rng.randint(1, 2)):
        await asyncio.sleep(player.seconds())
        player.note(number, f"asks it to stop: {inner.cancel('stop')}")
    await asyncio.gather(inner, return_exceptions=True)
    player.note(number, f"it was cancelled: {inner.cancelled()}, asked {inner.cancelling()} times")


async def hands_over(player: Player, number: int, depth: int) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue(maxsize=1)

    async def produce(maker: Player) -> None:
        for it in range(3):
            await asyncio.sleep(maker.seconds())
            await queue.put(it)

    async with asyncio.TaskGroup() as group:
        group.create_task(produce(player.branch()))
        for _ in range(3):
            player.note(number, f"takes {await queue.get()}")


async def takes_turns(player: Player, number: int, depth: int) -> None:
    lock, free = asyncio.Lock(), asyncio.Semaphore(2)

    async def work(worker: Player) -> None:
        async with free, lock:
            await worker.play(depth)

    await asyncio.gather(*(work(player.branch()) for _ in range(3)), return_exceptions=True)


Construct = Callable[[Player, int, int], Awaitable[None]]
LEAVES: list[Construct] = [sleeps, sleeps, yields, fails]
CONSTRUCTS: list[Construct] = [
    *(cleans_up, swallows, catches, gathers, groups, times_out, shields, races, takes_as_completed),
    *(is_cancelled, hands_over, takes_turns),
]


async def played(seed: int) -> list[str]:
    """Play the program of a seed to its end, whatever that is, and return its trace."""
    player = Player(random.Random(seed), asyncio.get_running_loop().time())
    try:
        async with asyncio.timeout(player.seconds() * 3):
            await player.play()
    except BaseException as error:
        player.note(0, f"the end: {described(error)}")
    return list(player.trace)
