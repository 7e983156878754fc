"""The HTTP port: counts for those who may see them, and TLS with certificates that change."""

from __future__ import annotations

import asyncio
import http.client
import ssl
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from runtime_service.settings import RuntimeSettings
from tests.support.certificates import Authority
from tests.support.runtime import running_runtime
from tests.support.store import eventually
from tests.support.tokens import token_of, write_clients


async def ask(address: str, path: str, *, token: str = "", ca: str = "") -> tuple[int, str, str]:
    """Ask over HTTP, over TLS with a ``ca``; returns the status, the body, and the serial of the certificate."""
    return await asyncio.to_thread(_ask, address, path, token, ca)


def _ask(address: str, path: str, token: str, ca: str) -> tuple[int, str, str]:
    connection: http.client.HTTPConnection = http.client.HTTPConnection(address, timeout=10)
    if ca:
        context = ssl.create_default_context(cafile=ca)
        connection = http.client.HTTPSConnection(address, timeout=10, context=context)
    try:
        connection.request("GET", path, headers={"authorization": f"Bearer {token}"} if token else {})
        shown: dict[str, Any] = connection.sock.getpeercert() if ca else {}  # type: ignore[attr-defined]
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), str(shown.get("serialNumber", ""))
    finally:
        connection.close()


def address_of(runtime: Any) -> str:
    return str(runtime.http.address)


async def test_counts_ask_for_the_role_read_as_soon_as_there_are_credentials(
    store_address: str, tmp_path: Path
) -> None:
    clients = write_clients(tmp_path / "clients.toml")
    async with running_runtime(store_address, http="127.0.0.1:0", clients_file=clients, store_token="") as runtime:
        address = address_of(runtime)
        found = {
            role: (await ask(address, "/metrics", token=token_of(role)))[0] for role in ("read", "admin", "worker")
        }
        assert found == {"read": 200, "admin": 200, "worker": 403}
        assert (await ask(address, "/metrics"))[0] == 401
        assert (await ask(address, "/metrics", token="wrong"))[0] == 401
        assert (await ask(address, "/healthz"))[0] == 200
        assert (await ask(address, "/readyz"))[0] == 200


@pytest.mark.parametrize(("metrics", "status"), [("open", 200), ("off", 404)])
async def test_counts_can_be_open_to_all_or_not_there(store_address: str, metrics: str, status: int) -> None:
    options = {"http": "127.0.0.1:0", "token": "sesame-sesame", "store_token": "", "metrics": metrics}
    async with running_runtime(store_address, **options) as runtime:
        assert (await ask(address_of(runtime), "/metrics"))[0] == status


async def test_the_http_port_speaks_tls_and_takes_a_new_certificate_without_a_restart(
    store_address: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("first", file="runtime")
    options = {"http": "127.0.0.1:0", "http_tls": True, "tls_cert": pair.cert, "tls_key": pair.key}
    async with running_runtime(store_address, **options) as runtime:
        address = address_of(runtime)
        status, _, first = await ask(address, "/healthz", ca=authority.ca)
        assert status == 200 and first
        assert runtime.worker.options.public_url.startswith("https://")
        authority.issue("second", file="runtime")

        async def shows_another() -> bool:
            return (await ask(address, "/healthz", ca=authority.ca))[2] != first

        await eventually(shows_another)


def test_https_without_a_certificate_is_a_mistake_that_is_told() -> None:
    with pytest.raises(ValidationError, match="HOLDFAST_TLS_CERT"):
        RuntimeSettings(http_tls=True)
