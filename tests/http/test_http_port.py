"""The HTTP port of a runtime: where it listens, what it says about itself, and what its URLs are."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families

from holdfast import Client, RunFailed, WrongContext
from holdfast.serving import CannotListen
from runtime_service.http import limits
from runtime_service.server import RunningRuntime
from runtime_service.settings import RuntimeSettings
from tests.http.sender import send
from tests.http.webhook_workflows import ALL, URLS, receive
from tests.support.runtime import RuntimeProcess, running_runtime
from tests.support.store import eventually, running_store

APP = """
import sys

from holdfast import workflow

@workflow(name="loaded")
async def loaded() -> list[str]:
    return sorted({"starlette", "uvicorn", "prometheus_client"} & set(sys.modules))
"""


async def text_of(url: str) -> tuple[int, str]:
    answer = await send(url, method="GET")
    return answer.status, answer.body.decode()


@contextmanager
def taken_port() -> Iterator[str]:
    """An address that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield f"127.0.0.1:{taken.getsockname()[1]}"


async def test_a_runtime_that_serves_is_alive_and_ready(base: str) -> None:
    assert await text_of(f"{base}/healthz") == (200, "ok\n")
    assert await text_of(f"{base}/readyz") == (200, "ready\n")


async def test_a_draining_runtime_is_alive_and_not_ready(base: str, runtime: RunningRuntime) -> None:
    runtime.front.draining.set()
    assert await text_of(f"{base}/readyz") == (503, "draining\n")
    assert await text_of(f"{base}/healthz") == (200, "ok\n")


async def test_a_runtime_without_its_store_is_not_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROBE_SECONDS", 0.2)
    async with running_store(tmp_path / "gone.db") as store:
        running = running_runtime(store.address, *ALL, http="127.0.0.1:0")
        runtime = await running.__aenter__()
    assert runtime.http is not None
    base = f"http://{runtime.http.address}"
    assert await text_of(f"{base}/readyz") == (503, "the store does not answer\n")
    assert (await send(f"{base}/webhooks/some-token")).status == 503
    await running.__aexit__(None, None, None)


async def test_a_runtime_that_waits_for_its_store_is_alive_and_not_ready(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    with taken_port() as http:
        pass
    process = RuntimeProcess(tmp_path, "app.py", store="127.0.0.1:1", options=["--http", http])
    process.launch()
    try:
        await eventually(lambda: is_open(http))
        assert await text_of(f"http://{http}/healthz") == (200, "ok\n")
        assert await text_of(f"http://{http}/readyz") == (503, "starting\n")
    finally:
        process.__exit__()


async def test_metrics_tell_claims_steps_runs_refusals_and_requests(
    base: str, client: Client, runtime: RunningRuntime
) -> None:
    runtime.worker.counters.refused("run_1", "STALE_SNAPSHOT")
    key = str(uuid4())
    run = await client.start(receive, key, 1)
    await eventually(lambda: key in URLS)
    before = await samples(base)
    assert before["holdfast_live_runs"] == before["holdfast_held_runs"] == 1
    assert before["holdfast_refusals_total STALE_SNAPSHOT"] == 1
    assert "holdfast_active_steps" in before and "holdfast_claims_total" in before
    await send(URLS[key])
    await send(f"{base}/webhooks/nobody")
    await run.result("20s")
    after = await samples(base)
    assert after["holdfast_http_requests_total webhooks 202"] == 1
    assert after["holdfast_http_requests_total webhooks 404"] == 1
    assert after["holdfast_http_requests_total metrics 200"] == 1


async def test_no_port_is_opened_when_it_is_switched_off(store_address: str) -> None:
    async with running_runtime(store_address, *ALL, http="") as runtime:
        assert runtime.http is None


async def test_without_a_port_no_http_library_is_loaded(tmp_path: Path, store_address: str) -> None:
    (tmp_path / "app.py").write_text(APP)
    runtime = RuntimeProcess(tmp_path, "app.py", store=store_address, options=["--http", ""])
    async with runtime as process, Client(process.address) as client:
        assert await (await client.start("loaded")).result("20s") == []


async def test_a_port_that_was_named_must_be_free(store_address: str) -> None:
    with taken_port() as address, pytest.raises(CannotListen, match=address):
        async with running_runtime(store_address, *ALL, http=address):
            pass


async def test_a_runtime_does_without_the_default_port_when_it_is_taken(
    store_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with taken_port() as address:
        monkeypatch.delenv("HOLDFAST_HTTP")
        monkeypatch.setattr(RuntimeSettings.model_fields["http"], "default", address)
        RuntimeSettings.model_rebuild(force=True)
        async with running_runtime(store_address, *ALL) as runtime:
            assert runtime.http is None
            assert runtime.worker.options.public_url == f"http://{address}"
    monkeypatch.undo()
    RuntimeSettings.model_rebuild(force=True)


async def test_the_process_tells_its_address_and_drains_with_it(tmp_path: Path, store_address: str) -> None:
    (tmp_path / "app.py").write_text(APP)
    async with RuntimeProcess(tmp_path, "app.py", store=store_address, options=["--http", "127.0.0.1:0"]) as process:
        http = process.greeting.rpartition("http ")[2].rstrip(")\n")
        assert await text_of(f"http://{http}/readyz") == (200, "ready\n")
        assert process.terminate() == 0


@pytest.mark.parametrize("options", [["--http", "nonsense"], ["--public-url", "ftp://x"], ["--public-url", "host"]])
def test_a_bad_address_or_url_is_refused(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "app.py").write_text(APP)
    process = RuntimeProcess(tmp_path, "app.py", store="127.0.0.1:1", options=options)
    process.launch()
    try:
        assert process.wait() == 2
        assert "expected h" in process.errors
    finally:
        process.__exit__()


async def test_urls_begin_with_the_public_url(store_address: str) -> None:
    url = await url_of(store_address, http="127.0.0.1:0", public_url="https://flows.example.org/hooks/")
    assert url.startswith("https://flows.example.org/hooks/webhooks/")


async def test_a_port_on_every_address_is_reached_by_the_name_of_the_host(store_address: str) -> None:
    url = await url_of(store_address, http="0.0.0.0:0")
    assert url.startswith(f"http://{socket.gethostname()}:")


async def test_the_url_of_a_webhook_is_the_same_in_every_replay(store_address: str) -> None:
    """Another runtime with another public URL goes on with the run: the step that got the URL is the same call."""
    key = str(uuid4())
    settings = {"http": "127.0.0.1:0", "replay_always": True}
    running = running_runtime(store_address, *ALL, **settings, public_url="https://one.example")
    async with running as first, Client(first.address) as client:
        run_id = (await client.start(receive, key, 1)).id
        await eventually(lambda: key in URLS)
    async with running_runtime(store_address, *ALL, **settings, public_url="https://two.example") as second:
        assert second.http is not None
        token = URLS[key].rpartition("/")[2]
        assert (await send(f"http://{second.http.address}/webhooks/{token}")).status == 202
        async with Client(second.address) as client:
            (request,) = await client.run(run_id).result("20s")
    assert URLS[key].startswith("https://one.example/")
    assert request["url"].startswith("https://two.example/")


async def test_a_webhook_of_a_runtime_without_a_port_has_no_url(store_address: str) -> None:
    async with running_runtime(store_address, *ALL, http="") as runtime, Client(runtime.address) as client:
        run = await client.start(receive, str(uuid4()), 1)
        with pytest.raises(RunFailed, match="--http") as failed:
            await run.result("20s")
        assert isinstance(failed.value.__cause__, WrongContext)


async def url_of(store_address: str, **settings: Any) -> str:
    key = str(uuid4())
    async with running_runtime(store_address, *ALL, **settings) as runtime, Client(runtime.address) as client:
        await client.start(receive, key, 1)
        await eventually(lambda: key in URLS)
    return URLS[key]


async def samples(base: str) -> dict[str, float]:
    """The metrics by name and the values of their labels."""
    _, text = await text_of(f"{base}/metrics")
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {" ".join([sample.name, *sample.labels.values()]): sample.value for sample in found}


def is_open(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0
