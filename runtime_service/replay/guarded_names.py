"""The table of what a workflow body must not touch, and what to use in its place.

Names that are called as functions or methods are replaced by guarded ones, and so is what reads the environment; files,
sockets, threads and subprocesses are seen through the interpreter's audit events. ``guard.py`` reads the tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

STEP: Final = "move this into a step"
_NOW: Final = "use holdfast.now()"
_RANDOM: Final = "use holdfast.random()"
_UUID: Final = "use holdfast.uuid4()"
_SLEEP: Final = "use holdfast.sleep()"
ENVIRONMENT: Final = "pass it as an argument, or read it in a step"
_BYTES: Final = "use holdfast.random().randbytes(n) or holdfast.uuid4(), or move this into a step"

_CLOCKS: Final = (
    *("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"),
    *("process_time", "process_time_ns", "thread_time", "thread_time_ns", "clock_gettime", "clock_gettime_ns"),
)
_RANDOMS: Final = (
    *("random", "uniform", "triangular", "randint", "randrange", "randbytes", "getrandbits", "choice", "choices"),
    *("shuffle", "sample", "gauss", "normalvariate", "lognormvariate", "expovariate", "vonmisesvariate"),
    *("gammavariate", "betavariate", "paretovariate", "weibullvariate", "binomialvariate", "seed"),
)

#: Module → attribute ("Class.method" too) → what to do instead. Attributes that this Python lacks are passed over.
FUNCTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "time": {**dict.fromkeys(_CLOCKS, _NOW), "sleep": _SLEEP},
    "random": {**dict.fromkeys(_RANDOMS, _RANDOM), "_urandom": _BYTES},
    "uuid": {"uuid1": _UUID, "uuid4": _UUID, "uuid6": _UUID, "uuid7": _UUID},
    "os": {"urandom": _BYTES, "getrandom": _BYTES},
    "threading": {"Thread.start": STEP},
}

#: Module → function → which argument makes it a function of its arguments alone, and what to do without that one.
#: The position counts the object of a method.
UNLESS_GIVEN: Final[Mapping[str, Mapping[str, tuple[int, str]]]] = {
    "time": {
        **dict.fromkeys(("localtime", "gmtime", "ctime", "asctime"), (0, _NOW)),
        "strftime": (1, _NOW),
    },
    "random": {"Random.seed": (1, _RANDOM)},
}

#: Methods of ``os.environ`` that all the others, and ``os.getenv``, come down to.
ENVIRONMENT_METHODS: Final = ("__getitem__", "__setitem__", "__delitem__", "__iter__")

#: Class methods of C types, which only their type's own table can replace.
CLASS_METHODS: Final[Mapping[str, Mapping[str, str]]] = {
    "datetime": {
        "datetime.now": _NOW,
        "datetime.utcnow": _NOW,
        "date.today": _NOW,
    },
}

#: Audit event → what it means. Every event of a family in AUDIT_FAMILIES counts too.
AUDIT_EVENTS: Final[Mapping[str, str]] = {
    "builtins.input": "input()",
    "open": "opening a file",
    "os.listdir": "reading a directory",
    "os.scandir": "reading a directory",
    "os.system": "starting a process",
    "os.exec": "starting a process",
    "os.fork": "starting a process",
    "os.forkpty": "starting a process",
    "os.posix_spawn": "starting a process",
    "os.spawn": "starting a process",
    "subprocess.Popen": "starting a process",
    "pty.spawn": "starting a process",
    "os.putenv": "changing the environment",
    "os.unsetenv": "changing the environment",
    "sqlite3.connect": "opening a database",
    "_thread.start_new_thread": "starting a thread",
    "_thread.start_joinable_thread": "starting a thread",
    "time.sleep": "time.sleep()",
}
AUDIT_FAMILIES: Final[Mapping[str, str]] = {"socket": "using the network"}

#: Modules whose work is let through wherever it comes from: imports, and whatever shows errors and logs to people.
LET_THROUGH: Final = frozenset(
    (
        *("importlib._bootstrap", "importlib._bootstrap_external", "zipimport"),
        *("logging", "traceback", "linecache", "tokenize", "warnings", "inspect", "structlog"),
        # Looks for plugins among the installed packages when the first adapter of a process is built.
        "pydantic.plugin._loader",
        # Time zones, where the system has none: see also guard.py.
        "zoneinfo",
        *("pdb", "bdb", "_pytest", "coverage", "pydevd"),
    )
)

#: Modules that stand between who does something and what is guarded; whoever called them does it. A model of pydantic
#: calls the factories of its defaults.
PASSED_OVER: Final = frozenset(("os", "collections", "_collections_abc", "random", "pydantic", "pydantic_core"))

#: Packages that may use what is guarded when they call it themselves: the runtime's, and those that only take down.
TRUSTED_CALLERS: Final = frozenset(
    (
        *("holdfast", "runtime_service", "asyncio", "google"),
        # What they take down comes out once: see silence.py.
        *("opentelemetry", "prometheus_client"),
    )
)
