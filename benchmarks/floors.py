"""The floors that every figure is a ratio of: a unary echo and a durable SQLite commit, taken in the same run.

The echo server is a process of its own, as the services are; the commit is what a store does at
least for an event: three rows in one WAL commit with synchronous=FULL.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
from pathlib import Path

import grpc

ECHO = """
import asyncio, grpc
class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        async def echo(request, context): return request
        return grpc.unary_unary_rpc_method_handler(echo)
async def main():
    server = grpc.aio.server(); server.add_generic_rpc_handlers((Echo(),))
    port = server.add_insecure_port("127.0.0.1:0"); await server.start(); print(port, flush=True)
    await server.wait_for_termination()
asyncio.run(main())
"""


async def echo_ms(calls: int = 500) -> list[float]:
    """Return the times of sequential unary round trips of 300 bytes, in milliseconds."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", ECHO, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary("/floor/Echo")
            taken = [await _timed(call, b"x" * 300) for _ in range(calls + 50)]
            return taken[50:]
    finally:
        process.kill()
        await process.wait()


async def _timed(call: grpc.aio.UnaryUnaryMultiCallable, body: bytes) -> float:
    begin = time.perf_counter()
    await call(body)
    return (time.perf_counter() - begin) * 1000


def commit_ms(folder: Path, commits: int = 500) -> list[float]:
    """Return the times of durable commits (an event row, a run row, a step row), in milliseconds."""
    connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE events (run TEXT, seq INTEGER, body BLOB, PRIMARY KEY (run, seq)) WITHOUT ROWID")
    connection.execute("CREATE TABLE runs (run TEXT PRIMARY KEY, head INTEGER, body BLOB)")
    connection.execute("CREATE TABLE steps (run TEXT, id TEXT, body BLOB, PRIMARY KEY (run, id)) WITHOUT ROWID")
    taken = []
    for number in range(commits + 50):
        begin = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO events VALUES ('r', ?, ?)", (number, b"x" * 200))
        connection.execute("INSERT OR REPLACE INTO runs VALUES ('r', ?, ?)", (number, b"x" * 200))
        connection.execute("INSERT OR REPLACE INTO steps VALUES ('r', 's', ?)", (b"x" * 200,))
        connection.execute("COMMIT")
        taken.append((time.perf_counter() - begin) * 1000)
    connection.close()
    return taken[50:]


if __name__ == "__main__":
    import statistics
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        print(f"echo {statistics.median(asyncio.run(echo_ms())):.3f} ms")
        print(f"commit {statistics.median(commit_ms(Path(folder))):.3f} ms")
