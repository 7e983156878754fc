"""The page about PostgreSQL: its command starts a store on a real server, and its numbers are those of the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from store_service.engines.postgres import Options
from store_service.engines.postgres.connection import Patience
from store_service.engines.postgres.retry import AWAY_MS_MAX

PAGE = (Path(__file__).parents[2] / "docs" / "postgresql.md").read_text()


def test_the_command_of_the_page_starts_a_store(postgres_url: str) -> None:
    (line,) = re.findall(r"^holdfast store (.*)$", PAGE, re.MULTILINE)
    arguments = line.replace("127.0.0.1:7701", "127.0.0.1:0").split()
    arguments[-1] = postgres_url
    command = [sys.executable, "-m", "holdfast.cli", "store", *arguments]
    store = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert store.stdout is not None
        assert "listening on" in store.stdout.readline()
    finally:
        store.terminate()
        assert store.wait(30) == 0


def test_the_numbers_of_the_page_are_those_of_the_code() -> None:
    options, patience = Options(), Patience()
    assert f"at most {options.writers + options.readers + 1}:" in PAGE
    assert f"calls wait up to {AWAY_MS_MAX // 1000} s" in PAGE
    assert f"`lock_timeout` {patience.lock_ms // 1000} s" in PAGE
    assert f"`statement_timeout` {patience.statement_ms // 1000} s" in PAGE
    assert f"{patience.idle_ms // 1000} s for a transaction" in PAGE
    assert f"up to {options.poll_s:g} s later" in PAGE
