"""Tokens, clients and keys that come, go and expire while a server runs; streams that are open then."""

from __future__ import annotations

import hmac
import time
from pathlib import Path
from typing import Any

import pytest

from holdfast import Client
from holdfast.security import access
from holdfast.security.bearer import Bearer
from holdfast.security.clients import parse_clients
from holdfast.security.files import FileProblem
from holdfast.security.jwt_tokens import JwtRules, JwtTokens
from holdfast.v1 import store_service_pb2 as api
from tests.support.runtime import running_runtime
from tests.support.store import StoreClient, eventually, refused, running_store
from tests.support.tokens import Issuer, token_of, write_clients

INFO = api.GetStoreInfoRequest()


async def is_let_in(address: str, token: str) -> bool:
    async with StoreClient(address, token=token) as client:
        try:
            await client.events.GetStoreInfo(INFO)
        except Exception as error:
            assert "UNAUTHENTICATED" in str(error), error
            return False
        return True


async def test_a_client_that_is_taken_out_of_the_file_is_out_and_its_open_stream_ends(tmp_path: Path) -> None:
    listed = tmp_path / "clients.toml"
    write_clients(listed, guest={"roles": ["read"], "token": "sesame-of-the-guest"})
    async with (
        running_store(tmp_path / "s.db", clients_file=str(listed)) as store,
        StoreClient(store.address, token="sesame-of-the-guest") as guest,
        StoreClient(store.address, token=token_of("read")) as reader,
    ):
        watch = guest.events.WatchEvents(api.WatchEventsRequest(all_runs=True))
        other = reader.events.WatchEvents(api.WatchEventsRequest(all_runs=True))
        assert await watch.read() and await other.read()
        write_clients(listed)
        with refused("UNAUTHENTICATED"):
            while await watch.read():
                pass
        assert not await is_let_in(store.address, "sesame-of-the-guest")
        assert not other.done()
        other.cancel()


async def test_a_signed_token_that_expires_ends_its_open_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.security.jwt_tokens.LEEWAY_SECONDS", 0)
    issuer = Issuer(tmp_path / "keys.json")
    async with (
        running_store(tmp_path / "s.db", jwks_file=issuer.file) as store,
        StoreClient(store.address, token=issuer.token("read", exp=int(time.time()) + 2)) as client,
    ):
        watch = client.events.WatchEvents(api.WatchEventsRequest(all_runs=True))
        assert await watch.read()
        with refused("UNAUTHENTICATED"):
            while await watch.read():
                pass
        with refused("UNAUTHENTICATED") as refusal:
            await client.events.GetStoreInfo(INFO)
        assert "expired" in refusal.message


async def test_a_key_that_is_replaced_takes_its_tokens_with_it_also_those_remembered(tmp_path: Path) -> None:
    issuer = Issuer(tmp_path / "keys.json")
    async with running_store(tmp_path / "s.db", jwks_file=issuer.file) as store:
        old = issuer.token("read")
        assert await is_let_in(store.address, old)
        issuer.replace_key("key-2")
        await eventually(lambda: is_let_in(store.address, issuer.token("read")))
        assert not await is_let_in(store.address, old)


async def test_a_file_that_is_spoilt_keeps_its_last_good_content_and_the_log_says_why_and_no_secret(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    listed = tmp_path / "clients.toml"
    write_clients(listed)
    async with running_store(tmp_path / "s.db", clients_file=str(listed)) as store:
        listed.write_text('[guest]\nroles = ["read"]\ntoken = "short-secret"\n')

        async def is_told() -> bool:
            assert await is_let_in(store.address, token_of("read"))
            return "at least 16 characters" in capfd.readouterr().out

        await eventually(is_told)
        listed.unlink()
        assert await is_let_in(store.address, token_of("read"))
        assert "short-secret" not in capfd.readouterr().out


async def test_a_client_sends_the_newest_token_of_its_file_or_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "app.token"
    kept.write_text("not-the-right-one\n")
    monkeypatch.delenv("HOLDFAST_TOKEN", raising=False)
    monkeypatch.setenv("HOLDFAST_TOKEN_FILE", str(kept))
    given = ["wrong"]
    async with (
        running_store(tmp_path / "s.db") as store,
        running_runtime(store.address, token="sesame-of-the-runtime", store_token="") as runtime,
        Client(runtime.address) as by_file,
        Client(runtime.address, token=lambda: given[0]) as by_function,
    ):

        async def is_in(client: Client) -> bool:
            try:
                return [run async for run in client.runs()] == []
            except Exception as error:
                assert type(error).__name__ == "Unauthenticated", error
                return False

        assert not await is_in(by_file) and not await is_in(by_function)
        kept.write_text("sesame-of-the-runtime")
        given[0] = "sesame-of-the-runtime"
        assert await is_in(by_function)
        await eventually(lambda: is_in(by_file))


def test_every_known_token_is_compared_in_constant_time_whichever_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def watched(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return hmac.compare_digest(one, other)

    class Watched:
        compare_digest = staticmethod(watched)

    monkeypatch.setattr(access, "hmac", Watched)
    known = {f"sesame-number-{number}": parse_clients("").by_digest for number in range(3)}
    decided = access.Access({}, fixed={token: access.Client(token, frozenset({"read"})) for token in known})
    for token in known:
        compared.clear()
        assert decided.client_of(token).name == token
        assert len(compared) == 3, "the first that fits must not end the comparing"
        assert all(len(one) == 32 for one in compared), "digests are compared, which tell nothing of a token"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[a]\nroles = []\ntoken = 'sesame-sesame-sesame'", "no roles"),
        ("[a]\nroles = ['root']\ntoken = 'sesame-sesame-sesame'", "'root' is not a role"),
        ("[a]\nroles = ['read']", "nobody can be it"),
        ("[a]\nroles = ['read']\nsha256 = 'sesame'", "64 hexadecimal"),
        ("[a]\nroles = ['read']\ntoken = 'sesame'", "16 characters"),
        ("[a]\nroles = ['read']\npassword = 'sesame'", "password is unknown"),
        ("[a]\nroles = ['read']\ntoken = 7", "expected text"),
        ("[a]\nroles = ['read']\ntoken = 'sesame-sesame-sesame'\nexpires = 2027-01-01", "with its offset"),
        ("a = 'sesame'", "stands outside"),
        ("".join(f"[{name}]\nroles = ['read']\ntoken = 'sesame-sesame-sesame'\n" for name in "ab"), "same token"),
        ("sesame", "not TOML"),
    ],
)
def test_a_mistake_in_the_file_of_clients_is_told_without_its_secrets(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        parse_clients(text)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    "keys",
    ["", "{}", '{"keys": []}', '{"keys": [{"kty": "oct", "k": "c2VzYW1l", "kid": "1"}]}', "[1]", '{"keys": [7]}'],
)
def test_a_key_file_without_public_keys_is_refused(tmp_path: Path, keys: str) -> None:
    (tmp_path / "keys.json").write_text(keys)
    with pytest.raises(FileProblem) as caught:
        JwtTokens(tmp_path / "keys.json", JwtRules())
    assert "c2VzYW1l" not in str(caught.value)


def test_a_key_file_with_a_private_key_is_refused(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from jwt.algorithms import ECAlgorithm

    private: dict[str, Any] = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()), as_dict=True)
    import json

    (tmp_path / "keys.json").write_text(json.dumps({"keys": [{**private, "kid": "1"}]}))
    with pytest.raises(FileProblem, match="private key") as caught:
        JwtTokens(tmp_path / "keys.json", JwtRules())
    assert private["d"] not in str(caught.value)


@pytest.mark.parametrize("content", ["", "two words", "ß", "line\nline"])
def test_a_token_file_that_holds_no_token_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "token").write_text(content)
    with pytest.raises(FileProblem):
        Bearer(file=str(tmp_path / "token"))
    assert "sesame" not in repr(Bearer("sesame"))
