"""Who may see the pages, under which name, and what a browser is told to do with them."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from holdfast import Client
from runtime_service.server import RunningRuntime
from runtime_service.ui.gate import HEADERS
from tests.http.sender import send
from tests.support.runtime import running_runtime
from tests.support.tokens import token_of, write_clients
from tests.ui.conftest import Get
from tests.ui.page_workflows import ALL, child

PATHS = ("/", "/runs/one", "/runs/one/live", "/live", "/definitions", "/ui/ui.css")


async def test_there_are_no_pages_until_they_are_asked_for(store_address: str) -> None:
    async with running_runtime(store_address, *ALL, http="127.0.0.1:0") as runtime:
        assert runtime.http is not None
        for path in PATHS:
            assert (await send(f"http://{runtime.http.address}{path}", method="GET")).status == 404


async def test_pages_are_read_only(runtime: RunningRuntime) -> None:
    assert runtime.http is not None
    for path in PATHS:
        assert (await send(f"http://{runtime.http.address}{path}", b"x")).status == 405


@pytest.mark.parametrize("path", ["/", "/runs/nobody", "/definitions", "/ui/ui.css", "/ui/live.js", "/?status=x"])
async def test_every_answer_forbids_what_a_page_does_not_need(get: Get, path: str) -> None:
    answer = await get(path)
    assert {name: answer.headers[name] for name in HEADERS} == dict(HEADERS)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert answer.headers["cache-control"] == "no-store"


async def test_pages_load_nothing_from_elsewhere_and_run_nothing_inline(get: Get, client: Client) -> None:
    await (await client.start(child, "a", id="one")).result("20s")
    for path in ("/", "/runs/one", "/definitions"):
        page = (await get(path)).body.decode()
        linked = re.findall(r'(?:href|src|action|data-live)="([^"]*)"', page)
        assert linked and all(link.startswith(("./", "../")) for link in linked)
        assert not re.search(r"<[^>]* (style|on[a-z]+)=", page)
        assert page.count("<script") == 1 and "<style" not in page


def basic(password: str, user: str = "me") -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


async def test_with_credentials_a_page_asks_for_one_with_the_role_read(store_address: str, tmp_path: Path) -> None:
    clients = write_clients(tmp_path / "clients.toml")
    settings = {"http": "127.0.0.1:0", "ui": True, "clients_file": clients, "store_token": ""}
    async with running_runtime(store_address, *ALL, **settings) as runtime:
        assert runtime.http is not None
        base = f"http://{runtime.http.address}"
        for path in PATHS:
            refused = await send(base + path, method="GET")
            assert refused.status == 401 and refused.headers["www-authenticate"].startswith("Basic ")
            assert refused.headers["content-security-policy"]
        for role, status in {"read": 200, "write": 200, "admin": 200, "worker": 403}.items():
            token = token_of(role)
            assert (await send(base + "/", method="GET", headers=basic(token))).status == status
            bearer = {"authorization": f"Bearer {token}"}
            assert (await send(base + "/definitions", method="GET", headers=bearer)).status == status
        for wrong in (basic("wrong"), basic(""), {"authorization": "Basic !"}, {"authorization": "Basic //8="}):
            assert (await send(base + "/", method="GET", headers=wrong)).status == 401
        # A browser behind a proxy may ask by any name: it has shown a token.
        named = {**basic(token_of("read")), "host": "flows.example.org"}
        assert (await send(base + "/", method="GET", headers=named)).status == 200


async def test_without_credentials_only_names_of_this_machine_are_answered(store_address: str) -> None:
    settings = {"http": "127.0.0.1:0", "ui": True, "public_url": "https://flows.example.org/here"}
    async with running_runtime(store_address, *ALL, **settings) as runtime:
        assert runtime.http is not None
        base = f"http://{runtime.http.address}"
        told = {}
        for host in (
            "127.0.0.1:7703",
            "localhost:7703",
            "[::1]:1",
            "LOCALHOST",
            "flows.example.org",
            "evil.example",
            "",
        ):
            told[host] = (await send(base + "/", method="GET", headers={"host": host})).status
        assert told.pop("evil.example") == 421 and told.pop("") in (400, 421)
        assert set(told.values()) == {200}
