"""One PostgreSQL connection, and the one door into it: statements that travel together.

Owns the driver. psycopg in pipeline mode: what is sent waits for nothing until somebody asks for rows, so a
transaction costs as many round trips as it has questions that depend on an answer. What a session must be like
(durable commits, bounded waits, no transaction left open by a process that stands still) is set here, explicitly, for
every connection. Read ``lane.py`` for the thread that a connection lives in.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import pq
from psycopg.abc import RV, PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.numeric import Int8BinaryDumper
from psycopg.types.string import BytesBinaryDumper

Parameters = Sequence[object] | Mapping[str, object]

#: Prepared statements kept per connection; all of the engine's fit.
STATEMENTS_PREPARED: Final = 300

#: How often the driver looks up from waiting.
_INTERVAL_S: Final = 0.1

#: The driver warns of every statement that a failed one took with it; the error itself is raised.
logging.getLogger("psycopg.pipeline").setLevel(logging.ERROR)
logging.getLogger("psycopg").setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a session waits, in milliseconds, before the database gives up on it, or it on the database.

    ``idle_ms``: a transaction whose process stands still (SIGSTOP, a cut network) holds its locks no longer.
    ``silence_ms``: longer than the server may take for an answer, so that only a connection says nothing for so long
    that is dead behind something which keeps its end open, a proxy or a pooler; elsewhere TCP tells in 10 s.
    """

    lock_ms: int = 5_000
    statement_ms: int = 30_000
    idle_ms: int = 10_000
    silence_ms: int = 40_000
    connect_s: int = 5


class _Connection(psycopg.Connection[Any]):
    """A connection that ends when the server is silent for too long."""

    silence_s: float | None = None

    def wait(self, gen: PQGen[RV], interval: float = _INTERVAL_S, timeout: float | None = None) -> RV:
        try:
            return super().wait(gen, interval, self.silence_s if timeout is None else timeout)
        except psycopg.errors._WaitTimeout as error:
            self.pgconn.finish()
            raise psycopg.OperationalError("the server was silent for too long") from error


class Session:
    """An open connection. ``executed`` counts statements, transactions included."""

    __slots__ = ("_connection", "_pipeline", "executed")

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._pipeline: psycopg.Pipeline | None = None
        self.executed = 0

    @contextmanager
    def pipeline(self) -> Iterator[None]:
        """Let the statements of the block travel together; at its end every one of them was answered."""
        with self._connection.pipeline() as self._pipeline:
            try:
                yield
            finally:
                self._pipeline = None

    def sync(self) -> None:
        """Wait for the answers to everything sent so far; raises the first error among them.

        With a Sync of the protocol and not only a Flush: the server then knows that it waits for us inside a
        transaction, and ends it when we stand still. Without, nothing would ever time out, and a store that is stopped
        by SIGSTOP would hold its locks until somebody wakes it up (`tests/postgres/test_conflicts.py`).
        """
        if self._pipeline is not None:
            self._pipeline.sync()

    def send(self, sql: str, parameters: Parameters = ()) -> None:
        """Execute a statement for its effect. Inside a pipeline its error is raised later, by whatever asks next."""
        self.executed += 1
        self._connection.cursor().execute(sql, parameters, prepare=True)

    def copy(self, sql: str, many: Iterable[Sequence[object]]) -> None:
        """Execute a COPY … FROM STDIN of rows: several times as fast as a statement for each of them."""
        self.executed += 1
        with self._connection.cursor().copy(sql) as copy:
            for row in many:
                copy.write_row(row)

    def ask(self, sql: str, parameters: Parameters = ()) -> psycopg.Cursor[Any]:
        """Execute a statement whose rows are fetched from the cursor after `sync`."""
        self.executed += 1
        return self._connection.cursor(binary=True).execute(sql, parameters, prepare=True)

    def one(self, sql: str, parameters: Parameters = ()) -> Any:
        """Return the first row as a tuple, None when there is none."""
        cursor = self.ask(sql, parameters)
        self.sync()
        return cursor.fetchone()

    def all(self, sql: str, parameters: Parameters = ()) -> list[Any]:
        """Return every row, as tuples."""
        cursor = self.ask(sql, parameters)
        self.sync()
        return cursor.fetchall()

    def scalar(self, sql: str, parameters: Parameters = ()) -> Any:
        """Return the first column of the first row, None when there is no row."""
        row = self.one(sql, parameters)
        return None if row is None else row[0]

    def run_script(self, text: str) -> None:
        """Execute several statements without parameters, as a migration has them."""
        self.executed += 1
        self._connection.execute(text, prepare=False)

    def rest(self) -> None:
        """Leave a failed pipeline and transaction behind; raises when the connection is lost."""
        if self._connection.info.transaction_status != pq.TransactionStatus.IDLE:
            self.executed += 1
            self._connection.execute("ROLLBACK")

    @property
    def is_lost(self) -> bool:
        """Whether the connection is known to be gone."""
        return self._connection.broken or self._connection.closed

    def close(self) -> None:
        """Close the connection. Idempotent; never waits for the server."""
        self._connection.close()


def connect(url: str, patience: Patience, name: str) -> Session:
    """Open a session to the server that takes writes. ``name`` is what pg_stat_activity shows.

    Raises psycopg.Error when there is none.
    """
    connection = _Connection.connect(
        complete(url, patience, name), autocommit=True, prepare_threshold=0, cursor_factory=psycopg.Cursor
    )
    connection.silence_s = patience.silence_ms / 1000
    connection.prepared_max = STATEMENTS_PREPARED
    prepare_types(connection)
    try:
        _settle(connection, patience)
    except BaseException:
        connection.close()
        raise
    return Session(connection)


def prepare_types(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
    """Send numbers as eight bytes whatever their size, so that one statement is prepared once; bytes as they are."""
    connection.adapters.register_dumper(int, Int8BinaryDumper)
    connection.adapters.register_dumper(bytes, BytesBinaryDumper)


#: Answered only when everything before it in the log of the server is on its synchronous standbys too: a commit that
#: changes nothing. Where there are such standbys there is this function; nowhere else it is called.
_REPLICATED: Final = "SELECT pg_logical_emit_message(true, 'holdfast', '')"


def _settle(connection: psycopg.Connection[Any], patience: Patience) -> None:
    settings = {
        "lock_timeout": patience.lock_ms,
        "statement_timeout": patience.statement_ms,
        "idle_in_transaction_session_timeout": patience.idle_ms,
    }
    with connection.pipeline():
        for name, ms in settings.items():
            connection.execute(f"SET {name} = {ms}")
        found = connection.execute(
            "SELECT current_setting('synchronous_commit'), current_setting('synchronous_standby_names', true)"
        ).fetchone()
    mode, standbys = found or ("on", "")
    if mode == "off":
        # An acknowledged write is durable, whatever the server's default; anything stronger is left as it is.
        connection.execute("SET synchronous_commit = on")
    if standbys:
        # (1) A commits on the primary and waits for the standby; (2) the primary crashes and comes back, and what A
        # wrote is there, seen by everybody; (3) A's repeat finds it and is answered; (4) the primary is lost for good;
        # (5) the standby, which never had it, takes over: an acknowledged write is gone. So a session of a server that
        # may have crashed begins by waiting until the standby has all that can be seen. Proof: `test_standby.py`.
        connection.execute(_REPLICATED)


def complete(url: str, patience: Patience, name: str) -> str:
    """Return the URL with what it leaves open; what it says stays."""
    defaults: dict[str, Any] = {
        "application_name": name,
        "connect_timeout": patience.connect_s,
        # With several hosts in the URL, the one that takes writes: how a failover is followed.
        "target_session_attrs": "read-write",
        # A peer that is gone without a word is noticed in 10 s or so.
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
    }
    return make_conninfo(url, **{key: value for key, value in defaults.items() if key not in conninfo_to_dict(url)})
