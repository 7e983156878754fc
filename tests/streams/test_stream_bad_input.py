"""Bad input to StreamService: the field is named, or the limit, and nothing is written."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.v1 import error_pb2
from holdfast.v1 import stream_service_pb2 as api
from tests.streams.flow import RUN, Flow, append_request, ref
from tests.support.store import Store, refused

CALLS: list[tuple[str, Any, str]] = [
    ("AppendChunks", append_request(b"1", stream=ref(run_id="")), "stream.run_id"),
    ("AppendChunks", append_request(b"1", stream=ref("no/slash")), "stream.name"),
    ("AppendChunks", append_request(b"1", stream=ref("n" * 129)), "stream.name"),
    ("AppendChunks", append_request(b"1", stream=ref("line\n")), "stream.name"),
    ("AppendChunks", append_request(), "chunks"),
    ("AppendChunks", append_request(b"1", content_type="x" * 129), "content_type"),
    ("AppendChunks", append_request(b"1", writer_id="w\n"), "writer_id"),
    ("AppendChunks", append_request(b"1", writer_id="w", writer_chunk=-1), "writer_chunk"),
    ("AppendChunks", append_request(b"1", writer_chunk=1), "writer_chunk"),
    ("AppendChunks", append_request(b"1", author={"attempt": 1}), "author.step_id"),
    ("AppendChunks", append_request(b"1", author={"step_id": "s"}), "author.attempt"),
    ("AppendChunks", append_request(b"1", author={"step_id": "s", "attempt": 1, "run_id": "?"}), "author.run_id"),
    ("CloseStream", api.CloseStreamRequest(stream=ref("")), "stream.name"),
    ("GetStream", api.GetStreamRequest(), "stream.run_id"),
    ("ListStreams", api.ListStreamsRequest(), "run_id"),
    ("ListStreams", api.ListStreamsRequest(run_id=RUN, page_size=-1), "page_size"),
]
READS: list[tuple[dict[str, Any], str]] = [
    ({"stream": ref("")}, "stream.name"),
    ({"mode": 9}, "mode"),
    ({"mode": api.STREAM_READ_MODE_FINAL, "with_resets": True}, "with_resets"),
    ({"progress_interval": {"nanos": 1_000_000}}, "progress_interval"),
    ({"start_index": -(2**63)}, "start_index"),
]
SIZES: list[tuple[list[bytes], str]] = [
    ([b"x" * (1024 * 1024 + 1)], "chunk_bytes"),
    ([b""] * 1001, "append_chunks"),
    ([b"x" * 1024 * 1024] * 3 + [b"x"], "append_bytes"),
]


@pytest.mark.parametrize(("method", "request_message", "path"), CALLS)
async def test_a_malformed_call_is_named_by_its_field(
    store: Store, method: str, request_message: Any, path: str
) -> None:
    flow = await Flow(store.client).begin()
    with refused("INVALID_FIELD") as refusal:
        await getattr(flow.stub, method)(request_message)
    assert refusal.field == path
    assert not (await flow.stub.ListStreams(api.ListStreamsRequest(run_id=RUN))).streams


@pytest.mark.parametrize(("fields", "path"), READS)
async def test_a_malformed_read_is_named_by_its_field(store: Store, fields: dict[str, Any], path: str) -> None:
    flow = await Flow(store.client).begin()
    with refused("INVALID_FIELD") as refusal:
        await flow.read(**fields).message()
    assert refusal.field == path


@pytest.mark.parametrize(("chunks", "limit"), SIZES)
async def test_what_is_too_large_is_told_with_the_limit(store: Store, chunks: list[bytes], limit: str) -> None:
    flow = await Flow(store.client).begin()
    with refused("TOO_LARGE") as refusal:
        await flow.write(*chunks)
    detail = refusal.detail(error_pb2.LimitExceeded)
    assert detail.limit == limit and detail.actual > detail.max > 0
    await flow.write(b"x" * 1024 * 1024)
