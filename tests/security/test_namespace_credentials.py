"""Which namespace a credential is of, by every kind of credential; mistakes in settings; what namespaces share."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from holdfast.security.channels import ClientTls
from holdfast.security.namespaces import EXPECTED, parse_namespaces
from holdfast.v1 import error_pb2, store_service_pb2_grpc
from holdfast.v1 import store_service_pb2 as api
from store_service.server import RunningStore, serve
from store_service.settings import StoreSettings
from tests.support.certificates import Authority
from tests.support.store import StoreClient, create_run, refused
from tests.support.tokens import Issuer, token_of, write_clients

INFO = api.GetStoreInfoRequest()
FIXED = "sesame-for-everything"


@asynccontextmanager
async def store_of(folder: Path, *names: str, **settings: Any) -> AsyncIterator[RunningStore]:
    """A store with these namespaces beside the default one."""
    urls = {name: f"sqlite:///{folder}/{name}.db" for name in names}
    options = {"listen": "127.0.0.1:0", "drain_seconds": 1, "namespaces": urls, **settings}
    async with await serve(StoreSettings(database=f"sqlite:///{folder}/default.db", **options)) as running:
        yield running


async def namespace_of(address: str, token: str, **metadata: str) -> str:
    async with StoreClient(address, token=token) as client:
        answer: api.GetStoreInfoResponse = await client.events.GetStoreInfo(
            INFO, metadata=tuple((key.replace("_", "-"), value) for key, value in metadata.items())
        )
        return answer.namespace


def clients(folder: Path, **namespaces: str) -> str:
    """Write a file with a client of each name, in the namespace given."""
    listed = {
        name: {"roles": ["admin"], "token": f"sesame-of-{name}-client", "namespace": namespace}
        for name, namespace in namespaces.items()
    }
    return write_clients(folder / "clients.toml", **listed)


async def test_a_token_leads_to_the_namespace_of_its_entry_and_to_the_default_one_without(tmp_path: Path) -> None:
    listed = clients(tmp_path, clerk="billing", seller="shop", named="default")
    async with store_of(tmp_path, "billing", "shop", token=FIXED, clients_file=listed) as store:
        wanted = {"clerk": "billing", "seller": "shop", "named": "default"}
        for client, namespace in wanted.items():
            assert await namespace_of(store.address, f"sesame-of-{client}-client") == namespace
        for token in (FIXED, token_of("read")):
            assert await namespace_of(store.address, token) == "default"


async def test_a_signed_token_leads_to_the_namespace_of_its_claim_and_a_bad_claim_leads_nowhere(tmp_path: Path) -> None:
    issuer = Issuer(tmp_path / "keys.json")
    async with store_of(tmp_path, "billing", jwks_file=issuer.file, jwt_namespace_claim="tenant") as store:
        assert await namespace_of(store.address, issuer.token("admin", tenant="billing")) == "billing"
        assert await namespace_of(store.address, issuer.token("admin", namespace="billing")) == "default"
        for claim in ("", "Billing", "../billing", ["billing"], 7, "a" * 64):
            with refused("UNAUTHENTICATED") as refusal:
                await namespace_of(store.address, issuer.token("admin", tenant=claim))
            assert "'tenant' that names no namespace" in refusal.message


async def test_a_client_certificate_leads_to_the_namespace_of_its_entry(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server, clerk = authority.issue("store"), authority.issue("clerk.example.org")
    listed = write_clients(
        tmp_path / "clients.toml",
        clerk={"roles": ["admin"], "certificate": "clerk.example.org", "namespace": "billing"},
    )
    tls = {"tls_cert": server.cert, "tls_key": server.key, "tls_client_ca": authority.ca}
    async with store_of(tmp_path, "billing", clients_file=listed, **tls) as store:
        shown = ClientTls(authority.ca, clerk.cert, clerk.key).credentials()
        async with grpc.aio.secure_channel(store.address, shown) as channel:
            stub: Any = store_service_pb2_grpc.StoreServiceStub(channel)
            assert (await stub.GetStoreInfo(INFO)).namespace == "billing"


async def test_a_namespace_that_is_not_served_is_refused_and_the_answer_says_what_to_do(tmp_path: Path) -> None:
    listed = clients(tmp_path, clerk="billing", lost="elsewhere")
    async with store_of(tmp_path, "billing", clients_file=listed) as store:
        with refused("PERMISSION_DENIED") as refusal:
            await namespace_of(store.address, "sesame-of-lost-client")
        assert refusal.info.metadata["namespace"] == "elsewhere"
        assert "HOLDFAST_NAMESPACES" in refusal.message and "billing" not in refusal.message


async def test_a_store_without_namespaces_refuses_a_client_that_names_one(tmp_path: Path) -> None:
    async with store_of(tmp_path, clients_file=clients(tmp_path, clerk="billing")) as store:
        with refused("PERMISSION_DENIED"):
            await namespace_of(store.address, "sesame-of-clerk-client")


async def test_what_a_caller_writes_never_chooses_a_namespace_it_is_compared(tmp_path: Path) -> None:
    listed = clients(tmp_path, clerk="billing", seller="shop")
    async with store_of(tmp_path, "billing", "shop", clients_file=listed) as store:
        clerk = "sesame-of-clerk-client"
        assert EXPECTED == "holdfast-namespace"
        assert await namespace_of(store.address, clerk, holdfast_namespace="billing") == "billing"
        for other in ("shop", "default", "billing,shop", "\U0001f600".encode().hex()):
            with refused("PERMISSION_DENIED") as refusal:
                await namespace_of(store.address, clerk, holdfast_namespace=other)
            assert refusal.info.metadata["expected"] == other


async def test_an_open_stream_ends_when_its_client_is_moved_to_another_namespace(tmp_path: Path) -> None:
    listed = clients(tmp_path, clerk="billing")
    async with (
        store_of(tmp_path, "billing", "shop", clients_file=listed) as store,
        StoreClient(store.address, token="sesame-of-clerk-client") as clerk,
    ):
        watch = clerk.events.WatchEvents(api.WatchEventsRequest(all_runs=True))
        assert await watch.read()
        clients(tmp_path, clerk="shop")
        with refused("UNAUTHENTICATED"):
            while await watch.read():
                pass
        assert (await clerk.events.GetStoreInfo(INFO)).namespace == "shop"


async def test_the_limits_of_one_namespace_are_not_used_up_by_another(tmp_path: Path) -> None:
    issuer = Issuer(tmp_path / "keys.json")
    limits = {"streams_max": 1, "rate_limit": 0.01, "rate_burst": 4}
    tokens = {name: issuer.token("admin", sub="operator", namespace=name) for name in ("billing", "shop")}
    async with (
        store_of(tmp_path, "billing", "shop", jwks_file=issuer.file, **limits) as store,
        StoreClient(store.address, token=tokens["billing"]) as greedy,
        StoreClient(store.address, token=tokens["shop"]) as other,
    ):
        watching = api.WatchEventsRequest(all_runs=True)
        watch = greedy.events.WatchEvents(watching)
        assert await watch.read()
        with refused("THROTTLED") as refusal:
            await greedy.events.WatchEvents(watching).read()
        assert refusal.detail(error_pb2.LimitExceeded).limit == "streams"
        with refused("THROTTLED") as refusal:
            for _ in range(5):
                await greedy.events.GetStoreInfo(INFO)
        assert refusal.detail(error_pb2.LimitExceeded).limit == "calls_per_second"
        # Of the same name and address, in another namespace: with a stream and a burst of its own.
        theirs = other.events.WatchEvents(watching)
        assert await theirs.read()
        await other.events.GetStoreInfo(INFO)
        watch.cancel()
        theirs.cancel()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"namespaces": "billing=sqlite:///b.db"}, "HOLDFAST_CLIENTS_FILE or HOLDFAST_JWKS_FILE"),
        ({"namespaces": "billing=sqlite:///b.db", "token": FIXED}, "HOLDFAST_CLIENTS_FILE or HOLDFAST_JWKS_FILE"),
        ({"namespaces": "default=sqlite:///b.db", "clients_file": "c"}, "is the namespace of HOLDFAST_DATABASE"),
        ({"namespaces": "Billing=sqlite:///b.db", "clients_file": "c"}, "no name of a namespace"),
        ({"namespaces": {"a_b": "sqlite:///b.db"}, "clients_file": "c"}, "no name of a namespace"),
        ({"namespaces": "sqlite:///secret.db", "clients_file": "c"}, "expected name=URL"),
        ({"namespaces": "billing", "clients_file": "c"}, "expected name=URL"),
        ({"namespaces": "a=sqlite:///b.db,a=sqlite:///secret.db", "clients_file": "c"}, "named twice"),
    ],
)
def test_a_mistake_in_the_list_of_namespaces_is_told_without_its_urls(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        StoreSettings(**settings)
    # A message of pydantic has the input beneath, which `__main__` leaves out.
    (error,) = caught.value.errors(include_input=False)  # type: ignore[attr-defined]
    assert "secret" not in error["msg"]


def test_urls_with_commas_are_one_entry_and_a_password_never_shows() -> None:
    text = "billing=postgresql://ann:secret@one:5432,two:5432/b?options=-csearch_path%3Db, shop=sqlite:///s.db,"
    found = parse_namespaces(text)
    assert found == {
        "billing": "postgresql://ann:secret@one:5432,two:5432/b?options=-csearch_path%3Db",
        "shop": "sqlite:///s.db",
    }
    assert "secret" not in repr(StoreSettings(namespaces=text, clients_file="c"))


async def test_two_namespaces_on_one_database_or_on_a_copy_stop_the_store_from_starting(tmp_path: Path) -> None:
    listed = clients(tmp_path, clerk="billing")
    async with store_of(tmp_path, "billing", clients_file=listed):
        pass
    shutil.copy(tmp_path / "billing.db", tmp_path / "shop.db")
    with pytest.raises(ValueError, match="'billing' and 'shop' have one database, or one is a copy"):
        async with store_of(tmp_path, "billing", "shop", clients_file=listed):
            pass
    one_file = f"sqlite:///{tmp_path}/billing.db"
    with pytest.raises(Exception, match="namespace again: "):
        async with store_of(tmp_path, clients_file=listed, namespaces={"billing": one_file, "again": one_file}):
            pass
    # Nothing was left open: the same files serve again.
    async with store_of(tmp_path, "billing", clients_file=listed) as store:
        assert await namespace_of(store.address, "sesame-of-clerk-client") == "billing"


async def test_each_namespace_keeps_its_own_over_a_restart(tmp_path: Path) -> None:
    listed = clients(tmp_path, clerk="billing", seller="shop")
    seen: list[tuple[str, str]] = []
    for _ in range(2):
        async with store_of(tmp_path, "billing", "shop", clients_file=listed) as store:
            for name in ("clerk", "seller"):
                async with StoreClient(store.address, token=f"sesame-of-{name}-client") as client:
                    if len(seen) < 2:
                        await create_run(client, f"run-of-{name}")
                    runs = (await client.events.ListRuns(api.ListRunsRequest())).runs
                    seen.append((runs[0].run_id, (await client.events.GetStoreInfo(INFO)).store_id))
                    assert len(runs) == 1
    assert seen[:2] == seen[2:] and seen[0][0] == "run-of-clerk" and seen[0][1] != seen[1][1]
