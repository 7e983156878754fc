"""What a run draws tells nothing of the id of its first event, from which the tokens of its webhooks are made."""

from __future__ import annotations

import random

from holdfast import hook, webhook, workflow
from holdfast import random as drawn
from holdfast.testing import Environment


@workflow(name="drawn.values")
async def draws() -> list[float]:
    return [drawn().random() for _ in range(3)]


@workflow(name="drawn.tokens")
async def opens() -> list[str]:
    async with hook(str) as plain, webhook() as first, webhook() as second:
        tokens = [plain.token, first.token, second.token]
        await first
    return tokens


async def test_what_a_run_draws_is_not_seeded_with_the_text_of_an_id() -> None:
    async with Environment() as env:
        run = await env.client.start(draws)
        found = await run.result()
        event_id = env.history(run)[0].event_id
    # A generator seeded with text holds the text itself, which its outputs give away; a digest does not lead back.
    for text in (event_id, f"random:{event_id}", f"uuid:{event_id}"):
        assert [random.Random(text).random()] != found[:1]


async def test_generated_tokens_have_256_bits_and_nothing_in_common() -> None:
    tokens: set[str] = set()
    async with Environment() as env:
        for _ in range(5):
            run = await env.client.start(opens)
            open_hooks = (await run.describe()).open_hooks
            tokens |= {it.token for it in open_hooks}
    assert len(tokens) == 15
    assert all(len(token) == 43 for token in tokens), "256 bits in base64"
    assert len({token[:4] for token in tokens}) == 15
