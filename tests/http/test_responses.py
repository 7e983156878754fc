"""Responses and webhooks as values: what cannot be sent is refused where it is written."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import LimitExceeded, Request, Response, SerializationError, WrongContext, step, webhook
from holdfast.response import read_response, write_response
from holdfast.serialization import decode_args, encode_args
from tests.support.runtime import new_registry


@pytest.mark.parametrize(
    ("body", "content", "media_type"),
    [
        ("text", b"text", "text/plain; charset=utf-8"),
        (b"\x00\xff", b"\x00\xff", "application/octet-stream"),
        ({"a": [1, None]}, b'{"a":[1,null]}', "application/json"),
        (None, b"null", "application/json"),
    ],
)
def test_the_media_type_follows_from_the_body(body: Any, content: bytes, media_type: str) -> None:
    response = Response(body=body)
    assert (response.status, response.content, response.media_type) == (200, content, media_type)


def test_a_header_decides_the_media_type() -> None:
    assert Response(body="<p>", headers={"Content-Type": "text/html"}).media_type == "text/html"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"status": 199}, "200 to 599"),
        ({"status": 600}, "200 to 599"),
        ({"status": "200"}, "200 to 599"),
        ({"status": 204, "body": "x"}, "no body"),
        ({"headers": {"bad name": "x"}}, "bad name"),
        ({"headers": {"X-Split": "a\r\nSet-Cookie: b"}}, "one line"),
        ({"headers": {"X-Number": 1}}, "one line"),
        ({"headers": {"Content-Length": "7"}}, "written by the HTTP port"),
    ],
)
def test_a_response_that_cannot_be_sent_is_refused(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Response(**arguments)


def test_a_body_that_has_no_json_form_is_refused() -> None:
    with pytest.raises(SerializationError):
        Response(body=object())


def test_a_body_over_the_limit_is_refused() -> None:
    with pytest.raises(LimitExceeded, match="response_bytes"):
        Response(body=b"x" * (1024 * 1024 + 1))


def test_a_written_response_is_read_back() -> None:
    response = read_response(write_response(Response(201, {"a": 1}, {"X-Kind": "y"})))
    assert (response.status, response.content) == (201, b'{"a":1}')
    assert response.headers == {"x-kind": "y", "content-type": "application/json"}
    with pytest.raises(ValueError, match="not a written response"):
        read_response("[]")


def test_a_webhook_outside_a_workflow_is_refused() -> None:
    with pytest.raises(WrongContext, match="workflow bodies"):
        webhook()


async def test_answering_outside_a_step_is_refused() -> None:
    with pytest.raises(WrongContext, match="steps that a runtime runs"):
        await Request("POST", "", {}, {}, b"", reply_queue="q").respond(Response())


def test_a_request_is_passed_to_a_step_whole() -> None:
    @step(name="takes-a-request")
    async def takes(request: Request) -> None: ...

    definition = new_registry(takes).step("takes-a-request")
    request = Request("POST", "http://x/", {"a": "b"}, {"c": "d"}, bytes(range(256)), "id", "queue", 7)
    assert decode_args(definition, encode_args(definition, [request], {})) == ((request,), {})


def test_the_body_of_a_request_is_parsed_on_demand() -> None:
    assert Request("POST", "", {}, {}, b'{"a": 1}').json() == {"a": 1}
    with pytest.raises(ValueError, match="Expecting value"):
        Request("POST", "", {}, {}, b"no json").json()
