"""Every RPC, tried with every kind of credential over a socket, against the roles that the protos name."""

from __future__ import annotations

import runpy
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor

from holdfast.security.roles import INCLUDES, roles_of
from holdfast.security.settings import SecuritySettings
from holdfast.serving import Server
from holdfast.v1 import session_service_pb2
from runtime_service.server import SERVICES as RUNTIME_SERVICES
from store_service.server import SERVICES as STORE_SERVICES
from tests.support.any_rpc import call_raw, methods_of, path_of, reason_of
from tests.support.runtime import running_runtime
from tests.support.store import running_store
from tests.support.tokens import ROLES, Issuer, token_of, write_clients

ROOT = Path(__file__).parents[2]

FULL, READ_ONLY = "sesame-for-everything", "sesame-for-reading"

#: Not a credential: every RPC answers UNAUTHENTICATED.
NOBODY = frozenset[str]()


def credentials(issuer: Issuer, stranger: Issuer) -> dict[str, tuple[str | None, frozenset[str]]]:
    """Every class of credentials: what is sent as ``authorization``, and the roles that it gives."""
    now = int(time.time())
    known = {
        "the token": (f"Bearer {FULL}", INCLUDES["admin"]),
        "the token, scheme in capitals": (f"BEARER {FULL}", INCLUDES["admin"]),
        "the read token": (f"Bearer {READ_ONLY}", INCLUDES["read"]),
        **{f"token of {role}": (f"Bearer {token_of(role)}", INCLUDES[role]) for role in ROLES},
        **{f"signed for {role}": (f"Bearer {issuer.token(role)}", INCLUDES[role]) for role in ROLES},
        "signed, without a role of ours": (f"Bearer {issuer.token('root', 'ADMIN')}", frozenset({"none"})),
    }
    unknown = {
        "nothing": None,
        "an empty token": "Bearer ",
        "a wrong token": "Bearer wrong",
        "the beginning of a token": f"Bearer {FULL[:-1]}",
        "a token and more": f"Bearer {FULL}x",
        "another scheme": f"Basic {FULL}",
        "no scheme": FULL,
        "an expired client": f"Bearer {'old-' + token_of('admin')}",
        "signed, expired": f"Bearer {issuer.token('admin', exp=now - 3600)}",
        "signed, never expires": f"Bearer {issuer.token('admin', exp=None)}",
        "signed, not valid yet": f"Bearer {issuer.token('admin', nbf=now + 3600)}",
        "signed for another audience": f"Bearer {issuer.token('admin', aud='other')}",
        "signed for no audience": f"Bearer {issuer.token('admin', aud=None)}",
        "signed by another issuer": f"Bearer {issuer.token('admin', iss='elsewhere')}",
        "signed with an unknown key": f"Bearer {stranger.token('admin')}",
        "signed, changed": f"Bearer {issuer.token('read')[:-4]}AAAA",
        "signed by nobody": "Bearer eyJhbGciOiJub25lIn0.eyJyb2xlcyI6WyJhZG1pbiJdLCJhdWQiOiJob2xkZmFzdCJ9.",
    }
    return known | {name: (sent, NOBODY) for name, sent in unknown.items()}


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    expired = {"roles": ["admin"], "token": "old-" + token_of("admin")}
    text = Path(write_clients(tmp_path / "clients.toml", expired=expired))
    text.write_text(text.read_text() + "\nexpires = 2020-01-01T00:00:00Z\n")
    return {"read_token": READ_ONLY, "clients_file": str(text), "jwt_issuer": "tests"}


async def check_every_rpc(
    address: str, services: Sequence[ServiceDescriptor], tried: dict[str, tuple[str | None, frozenset[str]]]
) -> None:
    wrong = []
    async with grpc.aio.insecure_channel(address) as channel:
        for method in methods_of(services):
            for name, (sent, roles) in tried.items():
                metadata = [("authorization", sent)] if sent is not None else []
                reason = reason_of(await call_raw(channel, method, metadata=metadata))
                expected = "UNAUTHENTICATED" if roles == NOBODY else "PERMISSION_DENIED"
                is_open = not roles_of(method).isdisjoint(roles)
                if (reason in ("UNAUTHENTICATED", "PERMISSION_DENIED")) == is_open or (
                    not is_open and reason != expected
                ):
                    wrong.append(f"{path_of(method)} with {name}: {reason or 'answered'}")
    assert not wrong, "\n".join(wrong)


async def test_every_rpc_of_the_store_answers_exactly_the_roles_that_its_proto_names(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    issuer, stranger = Issuer(tmp_path / "keys.json"), Issuer(tmp_path / "other.json")
    tried = credentials(Signing(issuer), Signing(stranger))
    async with running_store(tmp_path / "s.db", token=FULL, jwks_file=issuer.file, **options) as store:
        await check_every_rpc(store.address, STORE_SERVICES, tried)


async def test_every_rpc_of_the_runtime_answers_exactly_the_roles_that_its_proto_names(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    issuer, stranger = Issuer(tmp_path / "keys.json"), Issuer(tmp_path / "other.json")
    tried = credentials(Signing(issuer), Signing(stranger))
    async with (
        running_store(tmp_path / "s.db") as store,
        running_runtime(store.address, token=FULL, jwks_file=issuer.file, **options) as runtime,
    ):
        await check_every_rpc(runtime.address, RUNTIME_SERVICES, tried)


class Signing(Issuer):
    """An issuer that names itself in every token, as the servers of these tests want it."""

    def __init__(self, issuer: Issuer) -> None:
        self.__dict__ = issuer.__dict__

    def token(self, *roles: str, **claims: Any) -> str:
        return super().token(*roles, **{"iss": "tests", **claims})


def test_every_method_names_its_roles_and_reading_changes_nothing() -> None:
    for method in methods_of([*STORE_SERVICES, *RUNTIME_SERVICES]):
        roles = roles_of(method)
        is_read_only = method.GetOptions().idempotency_level == descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS
        assert ("read" in roles) == is_read_only, f"{method.full_name}: {sorted(roles)}"


def test_a_session_carries_only_calls_that_its_role_may_make_one_by_one() -> None:
    methods = {method.name: method for method in methods_of(STORE_SERVICES)}
    arms = session_service_pb2.SessionCall.DESCRIPTOR.oneofs_by_name["request"].fields
    for arm in arms:
        unary = methods[arm.message_type.name.removesuffix("Request")]
        assert roles_of(methods["OpenSession"]) <= roles_of(unary), f"{arm.name} opens what {unary.name} does not"


def test_a_method_that_names_no_roles_stops_the_server_from_starting() -> None:
    pool = descriptor_pool.DescriptorPool()
    file = descriptor_pb2.FileDescriptorProto(name="new.proto", package="new", syntax="proto3")
    file.message_type.add(name="Nothing")
    method = file.service.add(name="NewService").method.add(name="DoAnything")
    method.input_type = method.output_type = ".new.Nothing"
    pool.Add(file)
    new = pool.FindServiceByName("new.NewService")
    with pytest.raises(ValueError, match="DoAnything does not name the roles"):
        Server([new], SecuritySettings())


def test_the_table_in_the_docs_is_that_of_the_protos() -> None:
    script = ROOT / "scripts" / "access_table.py"
    wanted = runpy.run_path(str(script))
    (found,) = wanted["ROW"].findall((ROOT / "docs" / "security.md").read_text())
    assert found == wanted["rows"](), "run `python scripts/access_table.py`: the protos have changed"


def test_the_services_of_both_servers_are_all_there_are() -> None:
    served = {service.name for service in (*STORE_SERVICES, *RUNTIME_SERVICES)}
    protos = (ROOT / "protos" / "holdfast" / "v1").glob("*.proto")
    declared = {
        line.split()[1] for proto in protos for line in proto.read_text().splitlines() if line.startswith("service ")
    }
    assert served == declared
