"""Runs under a codec: the store sees no value, the workflow sees nothing else than without one."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from holdfast import Client, InvalidPayload, InvalidRequest, RequestIdReused, RunFailed, RunHandle, SerializationError
from holdfast.codecs import Codec
from runtime_service.server import RunningRuntime
from tests.codecs.coded_workflows import ALL, coded, failing
from tests.codecs.keys_for_tests import codec, rotated, stranger
from tests.http.sender import send
from tests.http.webhook_workflows import ALL as WEBHOOKS
from tests.http.webhook_workflows import URLS, manual
from tests.support.runtime import RuntimeProcess, running_runtime
from tests.support.store import eventually

KEYS = Path(__file__).parent / "keys_for_tests.py"


@pytest.fixture
async def runtime(store_address: str) -> AsyncIterator[RunningRuntime]:
    async with running_runtime(
        store_address, *ALL, *WEBHOOKS, codec=f"{KEYS}:codec", http="127.0.0.1:0", replay_always=True
    ) as running:
        yield running


@pytest.fixture
async def client(runtime: RunningRuntime) -> AsyncIterator[Client]:
    async with Client(runtime.address, codec=codec) as opened:
        yield opened


async def finished(client: Client, word: str = "word") -> RunHandle[list[str]]:
    token = str(uuid4())
    run = await client.start(coded, word, token)
    await eventually(lambda: is_open(client, token))
    await client.resume(token, f"secret answer to {word}")
    await run.result("30s")
    return run


async def is_open(client: Client, token: str) -> bool:
    try:
        return bool(await client.hook(token))
    except Exception:
        return False


def stored(folder: Path) -> bytes:
    """Every byte of the store's files."""
    with sqlite3.connect(folder / "store.db") as database:
        database.execute("PRAGMA wal_checkpoint(PASSIVE)")
    return b"".join(path.read_bytes() for path in folder.glob("store.db*"))


async def test_a_run_under_a_codec_gives_what_it_gives_without(client: Client) -> None:
    run = await finished(client)
    answer = "secret answer to word"
    assert await run.result("20s") == ["secret word", f"secret {answer}", f"secret child of {answer}", "secret " * 500]


async def test_the_store_never_sees_a_value(client: Client, tmp_path: Path) -> None:
    await finished(client)
    failed = await client.start(failing, "word")
    with pytest.raises(RunFailed):
        await failed.result("20s")
    content = stored(tmp_path)
    assert b"coded-failure" in content and b"ValueError" in content
    assert b"secret" not in content and b"public" not in content


async def test_the_front_door_decodes_for_nobody(client: Client, runtime: RunningRuntime) -> None:
    run = await finished(client)
    async with Client(runtime.address) as stranger_client:
        with pytest.raises(SerializationError, match="without a codec"):
            await stranger_client.run(run.id).result("20s")
        described = await stranger_client.run(run.id).describe()
        assert described.run.output.content_encoding == "zstd,aes256gcm"
        events = [event async for event in stranger_client.run(run.id).events()]
    assert not any(b"secret" in event.SerializeToString() for event in events)


async def test_what_an_error_says_is_told_to_nobody_without_the_codec(client: Client, runtime: RunningRuntime) -> None:
    run = await client.start(failing, "word")
    with pytest.raises(RunFailed, match="public word"):
        await run.result("20s")
    async with Client(runtime.address) as stranger_client:
        with pytest.raises(RunFailed, match="encoded") as failed:
            await stranger_client.run(run.id).result("20s")
    assert "public" not in str(failed.value.failure) + repr(failed.value.__cause__)


async def test_a_client_with_the_codec_reads_events_and_descriptions(client: Client) -> None:
    run = await finished(client)
    assert "secret word" in (await run.describe()).run.output.text
    events = [event async for event in run.events()]
    assert any("secret answer to word" in event.hook_received.payload.text for event in events)


async def test_the_original_error_comes_back_with_its_arguments(client: Client) -> None:
    with pytest.raises(RunFailed) as failed:
        await (await client.start(failing, "word")).result("20s")
    cause: Any = failed.value.__cause__
    assert cause.__cause__.args == ("public word", {"why": "secret word"})
    assert "coded_workflows.py" in failed.value.failure.stack_trace


async def test_a_client_with_another_key_is_refused_before_anything_is_written(runtime: RunningRuntime) -> None:
    async with Client(runtime.address, codec=stranger) as other:
        with pytest.raises(InvalidRequest, match="cannot be decrypted with the key 'one'"):
            await other.start(coded, "word", "token", id="run_stranger")
        with pytest.raises(Exception, match="run_stranger"):
            await other.run("run_stranger").status()


async def test_a_value_that_the_workflow_could_not_read_is_refused_to_its_sender(
    client: Client, runtime: RunningRuntime
) -> None:
    token = str(uuid4())
    run = await client.start(coded, "word", token)
    await eventually(lambda: is_open(client, token))
    async with Client(runtime.address, codec=stranger) as other:
        with pytest.raises(InvalidPayload, match="cannot be decrypted"):
            await other.resume(token, "x")
    with pytest.raises(InvalidPayload, match='expected a value of type "string"'):
        await client.resume(token, 5)
    await client.resume(token, "y")
    assert (await run.result("20s"))[1] == "secret y"


async def test_a_resume_that_is_sent_again_is_known_although_it_is_encrypted(client: Client) -> None:
    token = str(uuid4())
    await client.start(coded, "word", token)
    await eventually(lambda: is_open(client, token))
    assert not (await client.resume(token, "x", request_id=token)).deduplicated
    assert (await client.resume(token, "x", request_id=token)).deduplicated
    with pytest.raises(RequestIdReused):
        await client.resume(token, "z", request_id=token)


async def test_keys_are_rotated_under_open_runs(store_address: str) -> None:
    token = str(uuid4())
    run_id = await left_open(store_address, token, "codec", codec)
    running = running_runtime(store_address, *ALL, codec=f"{KEYS}:rotated")
    async with running as second, Client(second.address, codec=rotated) as client:
        await client.resume(token, "after")
        assert (await client.run(run_id).result("20s"))[:2] == ["secret before", "secret after"]
        keys = {event.step_completed.output.metadata["aes256gcm-key"] async for event in encoded(second, run_id)}
    assert keys == {"one", "two"}


async def test_a_run_whose_key_is_missing_is_parked_and_goes_on_when_it_is_there(store_address: str) -> None:
    token = str(uuid4())
    run_id = await left_open(store_address, token, "rotated", rotated)
    async with running_runtime(store_address, *ALL, codec=f"{KEYS}:codec") as second, Client(second.address) as client:
        await client.run(run_id).wake()
        await eventually(lambda: is_parked(client, run_id))
    running = running_runtime(store_address, *ALL, codec=f"{KEYS}:rotated")
    async with running as third, Client(third.address, codec=rotated) as client:
        await client.resume(token, "after")
        assert (await client.run(run_id).result("30s"))[1] == "secret after"


async def test_values_from_before_the_codec_are_still_read(store_address: str) -> None:
    token = str(uuid4())
    run_id = await left_open(store_address, token, "", None)
    running = running_runtime(store_address, *ALL, codec=f"{KEYS}:codec")
    async with running as second, Client(second.address, codec=codec) as client:
        await client.resume(token, "after")
        assert (await client.run(run_id).result("20s"))[:2] == ["secret before", "secret after"]


async def test_what_people_start_by_hand_is_encoded_by_the_runtime(runtime: RunningRuntime, tmp_path: Path) -> None:
    token = str(uuid4())
    async with Client(runtime.address) as person:
        run = await person.start("coded", "secret", token)
        await eventually(lambda: is_open(person, token))
        await person.resume(token, "secret too")
        with pytest.raises(SerializationError, match="without a codec"):
            await run.result("20s")
    assert b"secret" not in stored(tmp_path)


async def test_requests_and_answers_of_webhooks_are_encoded(client: Client, tmp_path: Path) -> None:
    key = str(uuid4())
    run = await client.start(manual, key)
    await eventually(lambda: key in URLS)
    answer = await send(URLS[key], b'{"name": "secret Ada"}', headers={"X-Word": "secret"})
    assert answer.json() == {"hello": "secret Ada"}
    assert await run.result("20s") is True
    assert b"secret" not in stored(tmp_path)


def test_a_codec_that_cannot_be_loaded_ends_the_process(tmp_path: Path) -> None:
    (tmp_path / "flows.py").write_text("from holdfast import workflow\n@workflow\nasync def nothing() -> None: ...\n")
    process = RuntimeProcess(tmp_path, "flows.py", store="127.0.0.1:1", HOLDFAST_CODEC="no_such_module:codec")
    process.launch()
    try:
        assert process.wait() == 2
        assert "no_such_module" in process.errors and "Traceback" not in process.errors
    finally:
        process.__exit__()


async def left_open(store_address: str, token: str, name: str, own: Codec | None) -> str:
    """Start a run that waits for its hook, and end its runtime."""
    chosen = f"{KEYS}:{name}" if name else ""
    async with running_runtime(store_address, *ALL, codec=chosen) as first, Client(first.address, codec=own) as client:
        run = await client.start(coded, "before", token)
        await eventually(lambda: is_open(client, token))
        await eventually(lambda: has_whispered(client, run.id))
    return run.id


async def has_whispered(client: Client, run_id: str) -> bool:
    return not (await client.run(run_id).describe()).open_steps


async def is_parked(client: Client, run_id: str) -> bool:
    failure = (await client.run(run_id).describe()).last_replay_failure
    return "does not have" in failure.message


async def encoded(runtime: RunningRuntime, run_id: str) -> AsyncIterator[Any]:
    async with Client(runtime.address) as client:
        async for event in client.run(run_id).events():
            if event.HasField("step_completed"):
                yield event
