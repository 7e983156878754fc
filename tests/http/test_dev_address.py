"""`holdfast dev` tells where its runtime's HTTP port is, and where its pages are."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.http.sender import send

FLOW = "from holdfast import workflow\n\n@workflow(name='nothing')\nasync def nothing() -> None: ...\n"


def test_dev_prints_the_http_address_and_that_of_its_pages(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(FLOW)
    words = ["dev", "flow.py", "--no-reload", "--store-listen", "127.0.0.1:0", "--runtime-listen", "127.0.0.1:0"]
    command = [sys.executable, "-m", "holdfast.cli", *words]
    environment = {**os.environ, "HOLDFAST_HTTP": "127.0.0.1:0"}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = next(it for it in process.stdout if "http  " in it)
            assert asyncio.run(send(f"http://{line.split()[3]}/readyz", method="GET")).status == 200
            line = next(process.stdout)
            assert line.startswith("holdfast dev: ui ")
            page = asyncio.run(send(line.split()[3], method="GET"))
            assert page.status == 200 and b"holdfast start nothing" in page.body
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(40)
