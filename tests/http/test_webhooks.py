"""Webhooks from outside: what a sender is told, and what the workflow gets."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from holdfast import Client, HookNotFound, InvalidPayload, RunFailed, RunHandle, WrongContext
from runtime_service.http import limits
from runtime_service.server import RunningRuntime
from tests.http.sender import Answer, send
from tests.http.webhook_workflows import (
    ALL,
    URLS,
    fixed,
    manual,
    manual_never,
    manual_thread,
    manual_twice,
    plain_hook,
    receive,
    respond_in_the_workflow,
    wrong_respond,
)
from tests.support.runtime import running_runtime
from tests.support.store import eventually


async def opened(client: Client, workflow: object, *args: object) -> tuple[RunHandle[object], str]:
    """Start a run and wait for the URL of its webhook."""
    key = str(uuid4())
    run = await client.start(workflow, key, *args)  # type: ignore[call-overload]
    await eventually(lambda: key in URLS)
    return run, URLS[key]


async def test_a_request_reaches_the_workflow_as_it_was_sent(client: Client, base: str) -> None:
    run, url = await opened(client, receive, 1)
    assert url.startswith(f"{base}/webhooks/")
    answer = await send(f"{url}?a=1&b=2&a=3", b"\x00\xffbytes", method="PUT", headers={"X-Signature": "s"})
    assert (answer.status, answer.body) == (202, b"")
    (request,) = await run.result("20s")  # type: ignore[misc]
    assert (request.method, request.url, request.body) == ("PUT", f"{url}?a=1&b=2&a=3", b"\x00\xffbytes")
    assert request.query == {"a": "3", "b": "2"}
    assert request.headers["x-signature"] == "s"


async def test_requests_come_in_order_and_by_any_method(client: Client) -> None:
    run, url = await opened(client, receive, 5)
    methods = ["POST", "GET", "PATCH", "DELETE", "PUT"]
    for method in methods:
        assert (await send(url, method=method)).status == 202
    assert [request.method for request in await run.result("20s")] == methods  # type: ignore[attr-defined]


async def test_a_fixed_response_is_sent_whatever_the_workflow_does(client: Client) -> None:
    run, url = await opened(client, fixed)
    answer = await send(url, b"paid")
    assert (answer.status, answer.body, answer.headers["x-kind"]) == (200, b"thanks", "fixed")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert await run.result("20s") == b"paid"


async def test_the_metadata_of_a_webhook_are_those_that_were_given(client: Client) -> None:
    _, url = await opened(client, fixed)
    assert (await client.hook(url.rpartition("/")[2])).metadata.text == '{"for":"payments"}'


async def test_a_step_answers_the_sender(client: Client) -> None:
    run, url = await opened(client, manual)
    answer = await send(url, b'{"name": "Ada"}')
    assert (answer.status, answer.json(), answer.headers["x-greeting"]) == (201, {"hello": "Ada"}, "yes")
    assert answer.headers["content-type"] == "application/json"
    assert await run.result("20s") is True


async def test_a_step_in_a_thread_answers_the_sender(client: Client) -> None:
    run, url = await opened(client, manual_thread)
    assert (await send(url)).body == b"from a thread"
    assert await run.result("20s") is True


async def test_a_step_in_another_runtime_answers_the_sender(
    client: Client, runtime: RunningRuntime, store_address: str
) -> None:
    async with running_runtime(store_address, *ALL, http="127.0.0.1:0") as other:
        assert other.http is not None
        run, url = await opened(client, manual)
        answer = await send(f"http://{other.http.address}/webhooks/{url.rpartition('/')[2]}", b'{"name": "Bo"}')
        assert answer.json() == {"hello": "Bo"}
        assert await run.result("20s") is True


async def test_the_first_answer_counts(client: Client) -> None:
    run, url = await opened(client, manual_twice)
    assert (await send(url)).body == b"first"
    assert await run.result("20s") == [True, True]


async def test_a_sender_that_nobody_answers_is_told_202_in_the_end(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MANUAL_SECONDS", 0.3)
    run, url = await opened(client, manual_never)
    assert (await send(url)).status == 202
    assert await run.result("20s") == "kept to itself"


async def test_a_step_that_is_too_late_is_told_so(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MANUAL_SECONDS", 0.0)
    run, url = await opened(client, manual)
    assert (await send(url, b'{"name": "Cy"}')).status == 202
    assert await run.result("20s") is False


async def test_senders_that_wait_are_let_go_when_the_runtime_drains(client: Client, runtime: RunningRuntime) -> None:
    _, url = await opened(client, manual_never)
    waiting = asyncio.create_task(send(url))
    await eventually(lambda: runtime.http is not None and runtime.http.waiting == 1)
    runtime.front.draining.set()
    assert (await waiting).status == 202


async def test_more_senders_than_may_wait_are_told_to_come_back(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WAITING_MAX", 0)
    _, url = await opened(client, manual_never)
    answer = await send(url)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


async def test_an_unknown_token_is_404(base: str) -> None:
    assert await status(f"{base}/webhooks/nobody") == 404
    assert await status(f"{base}/webhooks/{'x' * 600}") == 404
    assert await status(f"{base}/webhooks/") == 404
    assert await status(f"{base}/") == 404


async def test_a_hook_that_is_no_webhook_is_not_reached_by_http(client: Client, base: str) -> None:
    token = f"order:{uuid4()}"
    run = await client.start(plain_hook, token)
    await eventually(lambda: is_open(client, token))
    assert await status(f"{base}/webhooks/{token}") == 404
    await client.resume(token, "by the client")
    assert await run.result("20s") == "by the client"


async def test_a_closed_webhook_is_404(client: Client) -> None:
    run, url = await opened(client, receive, 1)
    assert (await send(url)).status == 202
    await run.result("20s")
    assert (await send(url)).status == 404


async def test_a_body_over_the_limit_is_413_and_reaches_nobody(client: Client) -> None:
    run, url = await opened(client, receive, 1)
    whole = b"x" * limits.BODY_BYTES_MAX
    assert (await send(url, whole + b"x")).status == 413
    assert (await in_chunks(url, [whole, b"x"])).status == 413
    assert (await in_chunks(url, [whole])).status == 202
    (request,) = await run.result("20s")  # type: ignore[misc]
    assert request.body == whole


async def test_a_look_at_the_url_is_no_message(client: Client) -> None:
    run, url = await opened(client, receive, 1)
    assert (await send(url, method="HEAD")).status == 405
    assert (await send(url, method="OPTIONS")).status == 405
    await send(url, method="POST")
    assert [request.method for request in await run.result("20s")] == ["POST"]  # type: ignore[attr-defined]


async def test_a_request_that_needs_no_answer_refuses_one(client: Client) -> None:
    run, url = await opened(client, wrong_respond)
    await send(url, b'{"name": "Di"}')
    with pytest.raises(RunFailed) as failed:
        await run.result("60s")
    assert 'respond_with="manual"' in failed.value.failure.cause.message + failed.value.failure.message


async def test_a_workflow_body_cannot_answer(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MANUAL_SECONDS", 0.1)
    run, url = await opened(client, respond_in_the_workflow)
    await send(url)
    with pytest.raises(RunFailed, match="pass the request to a step") as failed:
        await run.result("20s")
    assert isinstance(failed.value.__cause__, WrongContext)


async def test_a_value_for_a_webhook_that_is_no_request_is_refused(client: Client) -> None:
    _, url = await opened(client, receive, 1)
    with pytest.raises(InvalidPayload, match="required property"):
        await client.resume(url.rpartition("/")[2], {"not": "a request"})


async def status(url: str) -> int:
    return (await send(url)).status


async def in_chunks(url: str, chunks: list[bytes]) -> Answer:
    """Send a body whose length is not told; the server may refuse before it has read everything."""
    return await send(url, iter(chunks), headers={"Transfer-Encoding": "chunked"})


async def is_open(client: Client, token: str) -> bool:
    try:
        await client.hook(token)
    except HookNotFound:
        return False
    return True
