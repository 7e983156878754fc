"""The demo's link keeps back what the store says while held, loses nothing, and never hinders the runtime's words."""

from __future__ import annotations

import asyncio

from examples.audit.slow_link import SlowLink


async def test_held_bytes_arrive_after_the_release_in_order() -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def upper(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            heard.put_nowait(line)
            writer.write(line.upper())
        writer.close()

    server = await asyncio.start_server(upper, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, SlowLink(f"127.0.0.1:{port}") as link, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(*link.address.split(":"))
        writer.write(b"one\n")
        assert await reader.readline() == b"ONE\n"
        link.hold()
        writer.write(b"two\nthree\n")
        assert [await heard.get() for _ in range(3)] == [b"one\n", b"two\n", b"three\n"]
        answer = asyncio.create_task(reader.readline())
        await asyncio.wait([answer], timeout=0.1)
        assert not answer.done()
        link.release()
        assert await answer == b"TWO\n"
        assert await reader.readline() == b"THREE\n"
        writer.close()
        await writer.wait_closed()
