"""The shop's checkout, tested as its users would: in virtual time, with a crash everywhere."""

from __future__ import annotations

from datetime import timedelta

import pytest

from examples.shop import workflows as shop
from holdfast import Request, RunFailed
from holdfast.testing import Environment

ORDER = shop.Order(id="7", item="a lamp", cents=4200)


def paid(cents: int) -> Request:
    return Request("POST", body=b'{"cents": %d}' % cents)


async def test_an_order_is_paid_in_parts_and_shipped_wherever_the_process_dies() -> None:
    async with Environment(crash="everywhere") as env:
        run = await env.client.start(shop.checkout, ORDER)
        for cents in (1200, 3000):
            await env.advance("1h")
            (hook,) = (await run.describe()).open_hooks
            await env.client.resume(hook.token, paid(cents))
        assert await run.result() == shop.Receipt(order_id="7", cents=4200, parcel="parcel-7")
        stages = [it.stage async for it in run.stream("progress", type=shop.Progress)]
        assert stages == ["reserved", "payment", "paid", "paid", "shipped"]


async def test_what_nobody_pays_for_is_given_back_after_a_day() -> None:
    async with Environment() as env:
        back = env.stub(shop.give_back, returning=None)
        begun = env.now
        with pytest.raises(RunFailed, match="TimeoutError"):
            await env.run(shop.checkout, ORDER)
        assert (env.now - begun, back.call_count) == (timedelta(days=1), 1)
