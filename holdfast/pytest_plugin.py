"""The pytest plugin: the fixture `holdfast_env` and its marker.

    async def test_checkout(holdfast_env):
        assert await holdfast_env.run(checkout, order) == receipt

    @pytest.mark.holdfast(crash="everywhere")
    async def test_checkout_survives(holdfast_env): ...

Loaded by pytest in every session of an environment that has holdfast installed, so it imports nothing that is slow.
Async tests need pytest-asyncio, or anyio's plugin.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from holdfast.testing import Environment

#: pytest-asyncio's own decorator where it is installed: in its strict mode it runs no other async fixture.
_async_fixture: Any = (import_module("pytest_asyncio") if find_spec("pytest_asyncio") else pytest).fixture


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "holdfast(**options): options of the Environment behind `holdfast_env`")


@_async_fixture  # type: ignore[untyped-decorator]
async def holdfast_env(request: pytest.FixtureRequest) -> AsyncIterator[Environment]:
    """An open `holdfast.testing.Environment`; the marker ``holdfast`` gives its options."""
    from holdfast.testing import Environment

    marker = request.node.get_closest_marker("holdfast")
    async with Environment(**(marker.kwargs if marker else {})) as environment:
        yield environment
