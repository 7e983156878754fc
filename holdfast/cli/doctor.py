"""`holdfast doctor`: why nothing works here, asked in the order in which things go wrong.

Owns the list of questions: Python, the store, the runtime, whether versions, databases and clocks of the three agree,
whether a database can be written. Each answer is one line that says what to do. It starts nothing and changes nothing.
Exit codes: 0 all is well, 1 something is wrong, 3 a service does not answer.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from holdfast.cli.exits import FOUND, NOT_REACHABLE
from holdfast.cli.options import DEFAULT_RUNTIME, AsJson, RuntimeAddress, Token
from holdfast.installed import installed_version
from holdfast.security.namespaces import DEFAULT, parse_namespaces

_PYTHON_MIN: Final = (3, 11)

#: Seconds for one answer; a service on the same machine needs a hundredth.
_ANSWER_SECONDS: Final = 3.0
#: Milliseconds that clocks may differ: beyond, times in logs and lists stop making sense to people.
_CLOCK_OFFSET_MS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Check:
    """One question and its answer; ``exit_code`` is 0 when the answer is good."""

    name: str
    answer: str
    exit_code: int = 0


@dataclass(frozen=True, slots=True)
class _Service:
    """What a service told of itself, and when we heard it; ``info`` None: it did not, for the reason ``why``."""

    address: str
    info: Any
    offset_ms: int = 0
    why: str = ""


def doctor(
    store: Annotated[
        str, typer.Option(envvar="HOLDFAST_STORE_ADDRESS", help="Address of the store, HOST:PORT.")
    ] = "127.0.0.1:7701",
    runtime: RuntimeAddress = DEFAULT_RUNTIME,
    database: Annotated[
        str, typer.Option(envvar="HOLDFAST_DATABASE", help="SQLite database that a store is to use; empty: none.")
    ] = "",
    namespaces: Annotated[
        str, typer.Option(envvar="HOLDFAST_NAMESPACES", help="Further namespaces of that store: NAME=URL, NAME=URL.")
    ] = "",
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Check this machine and the two services, and say what is wrong. With --json one check a line."""
    from holdfast.v1 import runtime_service_pb2, runtime_service_pb2_grpc, store_service_pb2, store_service_pb2_grpc

    stores: Any = store_service_pb2_grpc.StoreServiceStub
    runtimes: Any = runtime_service_pb2_grpc.RuntimeServiceStub
    asked = {
        "store": _ask(store, token, lambda it: stores(it).GetStoreInfo, store_service_pb2.GetStoreInfoRequest()),
        "runtime": _ask(
            runtime, token, lambda it: runtimes(it).GetRuntimeInfo, runtime_service_pb2.GetRuntimeInfoRequest()
        ),
    }
    checks = [*_checks(asked), *_files(database, namespaces)]
    for check in checks:
        typer.echo(
            _json_line(check) if as_json else f"{'✗' if check.exit_code else '✓'} {check.name:<16}{check.answer}"
        )
    raise typer.Exit(max(check.exit_code for check in checks))


def _checks(asked: dict[str, _Service]) -> Iterator[Check]:
    yield _python()
    for name, service in asked.items():
        yield _reach(name, service)
    answering = {name: it for name, it in asked.items() if it.info is not None}
    for name, service in answering.items():
        yield _same_version(name, service)
        yield _clock(name, service)
    if len(answering) == len(asked):
        yield _same_store(**answering)


def _files(database: str, namespaces: str) -> Iterator[Check]:
    if database:
        yield _database("file", database)
    try:
        others = parse_namespaces(namespaces)
    except ValueError as error:
        yield Check("namespaces", f"{error}; look at HOLDFAST_NAMESPACES", FOUND)
        return
    for name, url in others.items():
        yield _database(f"file {name}", url)


def _python() -> Check:
    found = f"{platform.python_version()} at {sys.executable}, holdfast {installed_version()}"
    if sys.version_info < _PYTHON_MIN:
        return Check("python", f"{found}; needs {'.'.join(map(str, _PYTHON_MIN))} or newer", FOUND)
    return Check("python", found)


def _ask(address: str, token: str, method: Callable[[Any], Any], request: Any) -> _Service:
    import grpc

    from holdfast.cli.connection import metadata_of, open_channel
    from holdfast.wire import from_rpc_error

    metadata = metadata_of(token)
    with open_channel(address) as channel:
        before = time.time_ns()
        try:
            info = method(channel)(request, timeout=_ANSWER_SECONDS, metadata=metadata)
        except grpc.RpcError as error:
            typed = from_rpc_error(error)
            return _Service(address, None, why=str(typed) if typed.reason else error.code().name)
    # The server read its clock about half-way between our two looks at ours.
    middle = (before + time.time_ns()) // 2
    return _Service(address, info, (info.server_time.ToNanoseconds() - middle) // 1_000_000)


def _reach(name: str, service: _Service) -> Check:
    if service.info is not None:
        return Check(name, f"answers at {service.address}")
    if _is_free(service.address):
        how = {"store": "holdfast store", "runtime": "holdfast runtime MODULE"}[name]
        return Check(
            name,
            f"nobody listens at {service.address}; start it with `{how}`, or both with `holdfast dev`",
            NOT_REACHABLE,
        )
    return Check(name, f"no usable answer at {service.address}: {service.why}; is it another program's?", NOT_REACHABLE)


def _is_free(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS):
            return False
    except (OSError, ValueError):
        return True


def _same_version(name: str, service: _Service) -> Check:
    theirs, ours = service.info.server_version, installed_version()
    if theirs != ours:
        return Check(f"{name} version", f"{theirs}, this is {ours}; install the same version everywhere", FOUND)
    return Check(f"{name} version", theirs)


def _clock(name: str, service: _Service) -> Check:
    offset = f"{service.offset_ms:+d} ms from this machine's"
    if abs(service.offset_ms) > _CLOCK_OFFSET_MS_MAX:
        return Check(f"{name} clock", f"{offset}; set both by NTP", FOUND)
    return Check(f"{name} clock", offset)


def _same_store(store: _Service, runtime: _Service) -> Check:
    if store.info.store_id != runtime.info.store_id:
        return Check(
            "database", f"the runtime at {runtime.address} works with another store than {store.address}", FOUND
        )
    where = f"both use {store.info.backend} {store.info.store_id}"
    namespace = store.info.namespace or DEFAULT
    return Check("database", where if namespace == DEFAULT else f"{where}, the namespace {namespace}")


def _database(name: str, database: str) -> Check:
    prefix = "sqlite:///"
    scheme = database.partition("://")[0]
    if scheme in ("postgresql", "postgres"):
        return Check(name, "none on this machine: the database is a PostgreSQL server's")
    if not database.startswith(prefix):
        # Not the whole of it: there may be a password in it.
        return Check(name, f"{scheme!r} is no SQLite database; expected sqlite:///file.db", FOUND)
    path = Path(database.removeprefix(prefix)).resolve()
    # SQLite writes its log and a store its lock beside the file, so the directory counts as much.
    for needed in [path.parent, *([path] if path.exists() else [])]:
        if not needed.exists():
            return Check(name, f"directory {needed} does not exist; create it", FOUND)
        if not os.access(needed, os.W_OK):
            return Check(name, f"{needed} cannot be written by this user", FOUND)
    return Check(name, f"{path} can be written")


def _json_line(check: Check) -> str:
    return json.dumps({"check": check.name, "ok": not check.exit_code, "answer": check.answer}, ensure_ascii=False)
