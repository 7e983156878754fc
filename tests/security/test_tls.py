"""TLS on both services, client certificates, and new certificates without a restart."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from holdfast import Client, step, workflow
from holdfast.errors import NotReady
from holdfast.security.channels import ClientTls, open_channel
from holdfast.security.files import FileProblem
from holdfast.serving import CannotListen
from holdfast.v1 import event_pb2, store_service_pb2_grpc
from holdfast.v1 import store_service_pb2 as api
from tests.support.certificates import Authority, Pair
from tests.support.runtime import running_runtime
from tests.support.store import eventually, refused, running_store
from tests.support.tokens import token_of, write_clients


@step(name="tls.slow_step")
async def slow_step(text: str) -> str:
    # Longer than the lease of the tests' runtimes: it must be renewed, over TLS too.
    await asyncio.sleep(2.2)
    return text.upper()


@workflow(name="tls.workflow")
async def tls_workflow(text: str) -> str:
    return await slow_step(text)


def of(pair: Pair) -> dict[str, Any]:
    return {"tls_cert": pair.cert, "tls_key": pair.key}


async def info_over(address: str, tls: ClientTls, **call: Any) -> api.GetStoreInfoResponse:
    async with open_channel(address, tls) as channel:
        stub: Any = store_service_pb2_grpc.StoreServiceStub(channel)
        answer: api.GetStoreInfoResponse = await stub.GetStoreInfo(api.GetStoreInfoRequest(), timeout=5, **call)
        return answer


async def is_closed_to(address: str, tls: ClientTls) -> bool:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await info_over(address, tls)
    return bool(caught.value.code() == grpc.StatusCode.UNAVAILABLE)


def served_name(address: str, ca: str) -> str:
    """Shake hands and return the common name that the server shows; raises ssl.SSLError for another authority's."""
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context(cafile=ca)
    context.set_alpn_protocols(["h2"])
    plain = socket.create_connection((host, int(port)), timeout=5)
    with plain, context.wrap_socket(plain, server_hostname=host) as secured:
        shown = secured.getpeercert(binary_form=True)
    assert shown is not None
    return str(x509.load_der_x509_certificate(shown).subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


async def test_a_server_with_a_certificate_speaks_tls_and_nothing_else(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    async with running_store(tmp_path / "s.db", **of(authority.issue("store"))) as store:
        assert (await info_over(store.address, ClientTls(authority.ca))).store_id
        assert await is_closed_to(store.address, ClientTls())
        assert await is_closed_to(store.address, ClientTls(other.ca))


async def test_with_a_client_ca_only_clients_with_its_certificates_get_in(tmp_path: Path) -> None:
    servers, clients, strangers = (Authority(tmp_path, name) for name in ("servers", "clients", "strangers"))
    good, bad = clients.issue("good"), strangers.issue("bad")
    expired = clients.issue("late", days=-1)
    async with running_store(tmp_path / "s.db", **of(servers.issue("store")), tls_client_ca=clients.ca) as store:
        assert (await info_over(store.address, ClientTls(servers.ca, good.cert, good.key))).store_id
        assert await is_closed_to(store.address, ClientTls(servers.ca))
        assert await is_closed_to(store.address, ClientTls(servers.ca, bad.cert, bad.key))
        assert await is_closed_to(store.address, ClientTls(servers.ca, expired.cert, expired.key))


async def test_a_new_certificate_is_shown_without_a_restart_and_open_connections_stay(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with running_store(tmp_path / "s.db", **of(authority.issue("first", file="store"))) as store:
        channel = open_channel(store.address, ClientTls(authority.ca))
        stub: Any = store_service_pb2_grpc.StoreServiceStub(channel)
        watch = stub.WatchEvents(api.WatchEventsRequest(all_runs=True))
        assert await watch.read()
        assert await asyncio.to_thread(served_name, store.address, authority.ca) == "first"
        authority.issue("second", file="store")

        async def shows_the_second() -> bool:
            return await asyncio.to_thread(served_name, store.address, authority.ca) == "second"

        await eventually(shows_the_second)
        await stub.CreateEvents(api.CreateEventsRequest(run_id="r-1", events=[_created()]))
        assert (await watch.read()).batch.events
        watch.cancel()
        await channel.close()


def _created() -> Any:
    return event_pb2.Event(run_created=event_pb2.RunCreated(workflow_name="w"))


async def test_half_a_rotation_is_not_taken(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    authority = Authority(tmp_path)
    async with running_store(tmp_path / "s.db", **of(authority.issue("first", file="store"))) as store:
        new = authority.issue("second")
        shutil.copy(new.key, tmp_path / "store.key")

        async def has_looked() -> bool:
            assert await asyncio.to_thread(served_name, store.address, authority.ca) == "first"
            return "the key is not that of the certificate" in capfd.readouterr().out

        await eventually(has_looked)
        shutil.copy(new.cert, tmp_path / "store.crt")

        async def shows_the_second() -> bool:
            return await asyncio.to_thread(served_name, store.address, authority.ca) == "second"

        await eventually(shows_the_second)


async def test_a_client_certificate_has_the_roles_of_its_name_and_a_new_one_counts_at_once(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    clients = write_clients(
        tmp_path / "clients.toml",
        viewer={"roles": ["read"], "certificate": "viewer.example"},
        shop={"roles": ["write"], "certificate": "shop.example"},
    )
    mine = authority.issue("viewer.example", file="mine")
    unlisted = authority.issue("nobody.example")
    options = {**of(authority.issue("store")), "tls_client_ca": authority.ca, "clients_file": clients}
    async with running_store(tmp_path / "s.db", **options) as store:
        async with open_channel(store.address, ClientTls(authority.ca, mine.cert, mine.key)) as channel:
            stub: Any = store_service_pb2_grpc.StoreServiceStub(channel)
            await stub.ListRuns(api.ListRunsRequest())
            request = api.CreateEventsRequest(run_id="r-1", events=[_created()])
            with refused("PERMISSION_DENIED") as refusal:
                await stub.CreateEvents(request)
            assert refusal.info.metadata["client"] == "viewer"
            authority.issue("shop.example", file="mine")

            async def may_write() -> bool:
                try:
                    await stub.CreateEvents(request)
                except grpc.aio.AioRpcError as error:
                    assert error.code() == grpc.StatusCode.PERMISSION_DENIED
                    return False
                return True

            await eventually(may_write)
        with refused("UNAUTHENTICATED"):
            await info_over(store.address, ClientTls(authority.ca, unlisted.cert, unlisted.key))
        # A token goes before the certificate.
        header = [("authorization", f"Bearer {token_of('admin')}")]
        await info_over(store.address, ClientTls(authority.ca, unlisted.cert, unlisted.key), metadata=header)


async def test_a_run_goes_through_client_runtime_and_store_with_tls_and_tokens_everywhere(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    clients = write_clients(tmp_path / "clients.toml")
    mine = authority.issue("mine")
    secured = {**of(authority.issue("server")), "tls_client_ca": authority.ca, "clients_file": clients}
    worker_token = tmp_path / "worker.token"
    worker_token.write_text(token_of("worker") + "\n")
    to_store = {
        "store_tls_ca": authority.ca,
        "store_tls_cert": mine.cert,
        "store_tls_key": mine.key,
        "store_token_file": str(worker_token),
    }
    async with (
        running_store(tmp_path / "s.db", **secured) as store,
        running_runtime(store.address, tls_workflow, slow_step, **secured, **to_store) as runtime,
    ):
        tls = {"tls_ca": authority.ca, "tls_cert": mine.cert, "tls_key": mine.key}
        async with Client(runtime.address, token=token_of("write"), **tls) as client:
            run = await client.start(tls_workflow, "so", id="tls-run")
            assert await run.result(timeout="20s") == "SO"
            starts = [event async for event in run.events() if event.type == event_pb2.EVENT_TYPE_STEP_STARTED]
        assert len(starts) == 1, "the lease was renewed while the step ran"
        env = {
            **os.environ,
            "HOLDFAST_TLS_CA": authority.ca,
            "HOLDFAST_TLS_CERT": mine.cert,
            "HOLDFAST_TLS_KEY": mine.key,
            "HOLDFAST_TOKEN": token_of("admin"),
            "HOLDFAST_RUNTIME_ADDRESS": runtime.address,
            "HOLDFAST_STORE_ADDRESS": store.address,
        }
        assert "SERVING" in await command(env, "health", runtime.address)
        assert "tls-run" in await command(env, "runs")
        assert "both use" in await command(env, "doctor")


async def command(env: dict[str, str], *words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "holdfast.cli", *words), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_a_client_without_tls_at_a_server_with_it_is_told_that_nobody_answers(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with running_store(tmp_path / "s.db", **of(authority.issue("store"))) as store:
        client = Client(store.address, patience=0)
        with pytest.raises(NotReady):
            await client.run("r-1").describe()
        await client.close()


@pytest.mark.parametrize("what", ["absent", "no PEM", "another's key", "a client CA without a certificate"])
async def test_certificates_that_cannot_be_used_are_told_at_the_start(tmp_path: Path, what: str) -> None:
    authority = Authority(tmp_path)
    pair, other = authority.issue("store"), authority.issue("other")
    (tmp_path / "junk").write_text("secret junk")
    options: dict[str, dict[str, str]] = {
        "absent": {"tls_cert": str(tmp_path / "no.crt"), "tls_key": pair.key},
        "no PEM": {"tls_cert": pair.cert, "tls_key": str(tmp_path / "junk")},
        "another's key": {"tls_cert": pair.cert, "tls_key": other.key},
        "a client CA without a certificate": {"tls_client_ca": authority.ca},
    }
    with pytest.raises((CannotListen, ValueError), match=r"cannot be used|HOLDFAST_TLS_CERT") as caught:
        async with running_store(tmp_path / "s.db", **options[what]):
            pass
    assert "secret junk" not in str(caught.value)


def test_a_client_with_files_that_cannot_be_used_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(FileProblem, match=r"no\.pem"):
        open_channel("localhost:1", ClientTls(str(tmp_path / "no.pem")))
    with pytest.raises(ValueError, match="go together"):
        ClientTls("ca.pem", cert="mine.crt")
