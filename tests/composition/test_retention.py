"""``min_retention``: a token stays taken after its run ended, and nobody can reach it then."""

from __future__ import annotations

import pytest

from holdfast import Client, HookNotFound
from tests.composition import family
from tests.composition.test_children import until_open


async def test_a_retained_token_conflicts_and_cannot_be_resumed(client: Client) -> None:
    first = await client.start(family.reserves, "desk", "1h")
    await until_open(client, "desk")
    await client.resume("desk", "mine")
    assert await first.result("20s") == "mine"
    with pytest.raises(HookNotFound):
        await client.resume("desk", "again")
    with pytest.raises(HookNotFound):
        await client.hook("desk")
    second = await client.start(family.reserves, "desk", None)
    assert await second.result("20s") == f"taken by {first.id}"


async def test_without_retention_a_token_is_free_at_once(client: Client) -> None:
    for value in ("one", "two"):
        run = await client.start(family.reserves, "desk", None)
        await until_open(client, "desk")
        await client.resume("desk", value)
        assert await run.result("20s") == value


async def test_the_run_itself_may_open_its_hook_again(client: Client) -> None:
    assert await (await client.start(family.reserves, "desk", "1h", True)).result("20s") == "again"
