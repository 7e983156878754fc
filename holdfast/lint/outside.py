"""What reaches outside of a workflow body: clocks, randomness, ids, files, sockets, threads, processes, environment.

Owns the tables of names. The runtime refuses the same (``runtime_service/replay/guarded_names.py``), but only when the
line is reached; a test holds every name that it guards to be in these tables. A name that ends in "." stands for
everything in that module.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

from holdfast.lint.finding import Check, Spot
from holdfast.lint.module import Body, Module

STEP: Final = "move it into a step"

#: Rule → its names, and what to do instead.
OUTSIDE: Final[Mapping[str, tuple[frozenset[str], str]]] = {
    "clock": (
        frozenset(
            (
                *("time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.perf_counter"),
                *("time.perf_counter_ns", "time.process_time", "time.process_time_ns", "time.thread_time"),
                *("time.thread_time_ns", "time.clock_gettime", "time.clock_gettime_ns"),
                *("time.localtime", "time.gmtime", "time.ctime", "time.asctime", "time.strftime"),
                *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today"),
                "datetime.date.today",
            )
        ),
        "use holdfast.now()",
    ),
    "random": (frozenset(("random.", "secrets.", "os.urandom", "os.getrandom")), "use holdfast.random()"),
    "uuid": (frozenset(("uuid.uuid1", "uuid.uuid4", "uuid.uuid6", "uuid.uuid7")), "use holdfast.uuid4()"),
    "files": (
        frozenset(
            (
                *("open", "io.open", "os.open", "os.listdir", "os.scandir", "os.walk", "os.remove", "os.rename"),
                *("os.mkdir", "os.makedirs", "os.stat", "os.path.exists", "os.path.getsize", "os.path.getmtime"),
                *("shutil.", "tempfile.", "glob.", "sqlite3."),
            )
        ),
        STEP,
    ),
    "sockets": (
        frozenset(
            (
                *("socket.", "ssl.", "requests.", "httpx.", "aiohttp.", "urllib.request.", "http.client.", "smtplib."),
                *("ftplib.", "asyncpg.", "psycopg.", "psycopg2.", "redis.", "boto3."),
                *("asyncio.open_connection", "asyncio.start_server", "asyncio.open_unix_connection"),
            )
        ),
        STEP,
    ),
    "threads": (
        frozenset(
            (
                *("threading.Thread", "threading.Timer", "_thread.", "concurrent.futures.ThreadPoolExecutor"),
                *("concurrent.futures.ProcessPoolExecutor", "multiprocessing.", "asyncio.to_thread"),
            )
        ),
        STEP,
    ),
    "subprocess": (
        frozenset(
            (
                *("subprocess.", "os.system", "os.popen", "os.fork", "os.forkpty", "os.posix_spawn", "pty.spawn"),
                *("os.execv", "os.execve", "os.execl", "os.spawnl", "os.spawnv"),
                *("asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell"),
            )
        ),
        STEP,
    ),
    "environment": (
        frozenset(("os.getenv", "os.getenvb", "os.putenv", "os.unsetenv")),
        "pass it as an argument, or read it in a step",
    ),
}

#: Methods that nobody but files has → what they do.
_PATH_METHODS: Final = frozenset(("read_text", "write_text", "read_bytes", "write_bytes", "iterdir"))

#: What is a function of its arguments alone once it has so many: a generator its seed, a date its moment.
_PURE_WITH: Final[Mapping[str, int]] = {
    **dict.fromkeys(("random.Random", "time.localtime", "time.gmtime", "time.ctime", "time.asctime"), 1),
    "time.strftime": 2,
}


def _calls(rule: str, module: Module) -> Iterator[Spot]:
    names, advice = OUTSIDE[rule]
    for body in module.workflows:
        for node in module.nodes(body):
            if not isinstance(node, ast.Call):
                continue
            name = _matching(module.name_of(node.func, body), names)
            if name and len(node.args) + len(node.keywords) < _PURE_WITH.get(name, sys.maxsize):
                yield node, _message(f"{name}()", body, advice)


def _matching(name: str, names: frozenset[str]) -> str:
    parts = name.split(".")
    tops = (f"{'.'.join(parts[:count])}." for count in range(1, len(parts)))
    return name if name in names or any(top in names for top in tops) else ""


def _files(module: Module) -> Iterator[Spot]:
    yield from _calls("files", module)
    for body in module.workflows:
        for node in module.nodes(body):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _PATH_METHODS:
                yield node, _message(f".{node.func.attr}()", body, STEP)


def _threads(module: Module) -> Iterator[Spot]:
    yield from _calls("threads", module)
    for body in module.workflows:
        for node in module.nodes(body):
            if isinstance(node, ast.Attribute) and node.attr == "run_in_executor":
                yield node, _message(".run_in_executor()", body, STEP)


def _environment(module: Module) -> Iterator[Spot]:
    yield from _calls("environment", module)
    for body in module.workflows:
        for node in module.nodes(body):
            name = module.name_of(node, body) if isinstance(node, ast.Attribute | ast.Name) else ""
            if name in ("os.environ", "os.environb"):
                yield node, _message(name, body, OUTSIDE["environment"][1])


def _message(what: str, body: Body, advice: str) -> str:
    return f"{what} in workflow {body.entry} would not be the same in a replay: {advice}"


#: Rule → check.
CHECKS: Final[Mapping[str, Check]] = {
    **{rule: partial(_calls, rule) for rule in OUTSIDE},
    "files": _files,
    "threads": _threads,
    "environment": _environment,
}
