"""A server that is open says so: quietly on this machine's own address, loudly on any other."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from holdfast.security.exposure import is_loopback
from runtime_service.settings import RuntimeSettings
from store_service.settings import StoreSettings
from tests.support.certificates import Authority
from tests.support.store import StoreClient, StoreProcess, eventually, running_store


def test_the_default_addresses_are_this_machines_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLDFAST_HTTP", raising=False)
    addresses = [StoreSettings().listen, RuntimeSettings().listen, RuntimeSettings().http]
    assert all(map(is_loopback, addresses))


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("127.0.0.1:7701", True),
        ("localhost:1", True),
        ("[::1]:7701", True),
        ("127.8.8.8:1", True),
        ("unix:/run/s.sock", True),
        ("0.0.0.0:7701", False),
        ("[::]:7701", False),
        ("10.0.0.7:7701", False),
        ("store.example.org:7701", False),
        ("localhost.example.org:1", False),
    ],
)
def test_which_addresses_only_this_machine_reaches(listen: str, expected: bool) -> None:
    assert is_loopback(listen) is expected


ANYBODY, READABLE, LOCAL = "ANYBODY who reaches", "readable by all", "every program of this machine"


@pytest.mark.parametrize(
    ("listen", "has_token", "has_tls", "told"),
    [
        ("127.0.0.1:0", False, False, {LOCAL}),
        ("127.0.0.1:0", True, False, set()),
        ("0.0.0.0:0", False, False, {ANYBODY}),
        ("0.0.0.0:0", False, True, {ANYBODY}),
        ("0.0.0.0:0", True, False, {READABLE}),
        ("0.0.0.0:0", True, True, set()),
    ],
)
async def test_what_is_open_is_told_at_the_start(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], listen: str, has_token: bool, has_tls: bool, told: set[str]
) -> None:
    from store_service.server import serve

    pair = Authority(tmp_path).issue("store")
    tls = {"tls_cert": pair.cert, "tls_key": pair.key} if has_tls else {}
    settings = StoreSettings(
        listen=listen, database=f"sqlite:///{tmp_path}/s.db", token="sesame-sesame" if has_token else "", **tls
    )
    async with await serve(settings):
        said = capfd.readouterr().out
    assert {words for words in (ANYBODY, READABLE, LOCAL) if words in said} == told


async def test_a_process_says_it_too(tmp_path: Path) -> None:
    process = await asyncio.to_thread(StoreProcess, tmp_path / "s.db")
    try:
        # Its log comes by another pipe than the line that it serves.
        await eventually(lambda: LOCAL in process.stderr)
    finally:
        process.close()


async def test_reflection_can_be_switched_off(tmp_path: Path) -> None:
    for is_on in (True, False):
        async with running_store(tmp_path / "s.db", reflection=is_on) as store, StoreClient(store.address) as client:
            stub = reflection_pb2_grpc.ServerReflectionStub(client.channel)
            call = stub.ServerReflectionInfo()
            if is_on:
                await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
                assert await call.read()
            else:
                with pytest.raises(Exception, match="UNIMPLEMENTED"):
                    await call.read()
            call.cancel()
