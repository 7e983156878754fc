"""A runtime with pages, over a real store, and a browser's view of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from holdfast import Client
from runtime_service.server import RunningRuntime
from runtime_service.ui import limits
from tests.http.sender import Answer, send
from tests.support.runtime import running_runtime
from tests.ui.page_workflows import ALL

Get = Callable[..., Awaitable[Answer]]


@pytest.fixture(autouse=True)
def a_patient_person(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer for a page than people wait."""
    monkeypatch.setattr(limits, "READ_SECONDS", 30.0)


@pytest.fixture
async def runtime(store_address: str) -> AsyncIterator[RunningRuntime]:
    async with running_runtime(store_address, *ALL, http="127.0.0.1:0", ui=True) as running:
        yield running


@pytest.fixture
async def client(runtime: RunningRuntime) -> AsyncIterator[Client]:
    async with Client(runtime.address) as opened:
        yield opened


@pytest.fixture
def get(runtime: RunningRuntime) -> Get:
    """Ask for a path: ``await get("/runs/x")``."""
    assert runtime.http is not None
    base = f"http://{runtime.http.address}"

    async def ask(path: str, **headers: str) -> Answer:
        return await send(base + path, method="GET", headers=headers)

    return ask
