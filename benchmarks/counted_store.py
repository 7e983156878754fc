"""A store like any other that also tells how many statements and commits it has made, on request (SIGUSR1).

Used by the benchmarks only: `python -m benchmarks.counted_store DATABASE COUNT_FILE`.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from holdfast import collector, event_loop
from store_service.server import serve
from store_service.settings import StoreSettings


async def main(database: str, count_file: Path) -> None:
    store = await serve(StoreSettings(listen="127.0.0.1:0", database=database))
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    engine = store.parts.engine
    commits = 0

    def count(notes: object) -> None:
        nonlocal commits
        commits += 1

    engine.listen(count)
    loop.add_signal_handler(signal.SIGUSR1, lambda: count_file.write_text(f"{engine.statements} {commits}"))
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    collector.settle()
    print(store.address, flush=True)
    await ended.wait()
    await store.drain()


if __name__ == "__main__":
    event_loop.run(main(sys.argv[1], Path(sys.argv[2])))
