"""Definitions: the steps and workflows that a process knows, by name.

Owns the values that the decorators make and the registry they go into. A definition says everything about how a
function is run and nothing about one run. Must never import a service. Read ``holdfast/decorators.py`` for the
makers and ``holdfast/loading.py`` for how a module is found.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeVar

from holdfast.errors import LoadFailed, NotRegistered
from holdfast.loading import load_module, module_name
from holdfast.queues import goes_out
from holdfast.retry import RetryPolicy
from holdfast.signatures import Signature

#: Characters of a name; the store refuses longer ones.
NAME_CHARS_MAX: Final = 256

#: Attribute of a decorated function that leads to its definition.
DEFINITION_ATTRIBUTE: Final = "__holdfast_definition__"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a function was defined. ``source`` is "file:line"; ``load`` differs each time its module is executed."""

    module: str
    qualname: str
    source: str
    load: object = field(repr=False)

    def replaces(self, other: Place) -> bool:
        """Tell whether this is the same function, defined again by a reload or by a second import of its file."""
        is_same = (self.module, self.qualname) == (other.module, other.qualname)
        return is_same and (self.source == other.source or self.load is not other.load)


@dataclass(frozen=True, slots=True, eq=False)
class StepDefinition:
    """A step as declared. Durations are milliseconds, None when unbounded; ``queue`` "" is the runtime's own.

    ``is_passive``: no attempt of it ever runs; the runtime writes its result when what it waits for has happened.
    ``is_remote``: its body is in another program; ``function`` only says so.
    """

    name: str
    function: Callable[..., Any]
    place: Place
    signature: Signature
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    timeout_ms: int | None = None
    total_timeout_ms: int | None = None
    heartbeat_timeout_ms: int | None = None
    queue: str = ""
    is_passive: bool = False
    is_remote: bool = False

    @property
    def goes_out(self) -> bool:
        """Whether its attempts are handed out as tasks of its queue, instead of running where the run is held."""
        return goes_out(self.queue)

    @property
    def is_async(self) -> bool:
        """True for an ``async def``; a plain ``def`` runs in a thread."""
        return _is_async(self.function)

    @property
    def source(self) -> str:
        """Where it is defined, "file:line"."""
        return self.place.source

    @property
    def summary(self) -> str:
        """First paragraph of its documentation, on one line."""
        return _summary(self.function)


@dataclass(frozen=True, slots=True, eq=False)
class WorkflowDefinition:
    """A workflow as declared. ``timeout_ms`` bounds the whole run, None when unbounded."""

    name: str
    function: Callable[..., Any]
    place: Place
    signature: Signature
    version: str = ""
    timeout_ms: int | None = None

    @property
    def source(self) -> str:
        """Where it is defined, "file:line"."""
        return self.place.source

    @property
    def summary(self) -> str:
        """First paragraph of its documentation, on one line."""
        return _summary(self.function)


class _Definition(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def place(self) -> Place: ...


_Kind = TypeVar("_Kind", bound=_Definition)


class Registry:
    """Steps and workflows by name. The decorators fill ``registry``, the one of the process."""

    def __init__(self) -> None:
        self._steps: dict[str, StepDefinition] = {}
        self._workflows: dict[str, WorkflowDefinition] = {}

    @property
    def steps(self) -> Mapping[str, StepDefinition]:
        """Steps by name, a live view."""
        return MappingProxyType(self._steps)

    @property
    def workflows(self) -> Mapping[str, WorkflowDefinition]:
        """Workflows by name, a live view."""
        return MappingProxyType(self._workflows)

    @property
    def definitions(self) -> tuple[StepDefinition | WorkflowDefinition, ...]:
        """Everything registered now."""
        return (*self._steps.values(), *self._workflows.values())

    def add(self, definition: StepDefinition | WorkflowDefinition) -> None:
        """Register a definition. The same function defined again replaces; another one raises ValueError."""
        if isinstance(definition, StepDefinition):
            _put(self._steps, definition, "step")
        else:
            _put(self._workflows, definition, "workflow")

    def step(self, name: str) -> StepDefinition:
        """Return the step of a name. Raises NotRegistered that names what is near."""
        return _get(self._steps, name, "step")

    def workflow(self, name: str) -> WorkflowDefinition:
        """Return the workflow of a name. Raises NotRegistered that names what is near."""
        return _get(self._workflows, name, "workflow")

    def load(self, target: str) -> Loaded:
        """Import "package.module" or "path/file.py" and register what it defines; says what was found.

        Raises LoadFailed when it cannot be imported or defines nothing.
        """
        known = set(registry.definitions)
        module = load_module(target)
        new = [it for it in registry.definitions if it not in known]
        found = Loaded.of(module.__name__, [*new, *_exported(module)], target)
        for definition in found.definitions:
            self.add(definition)
        return found


@dataclass(frozen=True, slots=True)
class Loaded:
    """What loading a module brought: its name and its definitions, in order of name."""

    module: str
    definitions: tuple[StepDefinition | WorkflowDefinition, ...]

    @classmethod
    def of(cls, module: str, definitions: Iterable[StepDefinition | WorkflowDefinition], target: str) -> Loaded:
        """Build from what was found, each once. Raises LoadFailed when there is nothing."""
        unique = sorted(set(definitions), key=lambda it: (it.name, it.source))
        if not unique:
            raise LoadFailed(f"{target} defines no workflow and no step: decorate functions with @workflow and @step")
        return cls(module, tuple(unique))

    @property
    def workflows(self) -> tuple[str, ...]:
        """Names of the workflows."""
        return tuple(it.name for it in self.definitions if isinstance(it, WorkflowDefinition))

    @property
    def steps(self) -> tuple[str, ...]:
        """Names of the steps."""
        return tuple(it.name for it in self.definitions if isinstance(it, StepDefinition))


#: The registry that the decorators fill.
registry: Final = Registry()


def definition_of(function: object) -> StepDefinition | WorkflowDefinition | None:
    """Return the definition behind a decorated function, None for anything else."""
    found = getattr(function, DEFINITION_ATTRIBUTE, None)
    return found if isinstance(found, StepDefinition | WorkflowDefinition) else None


def place_of(function: Callable[..., Any]) -> Place:
    """Return where a function was defined; the module ``__main__`` goes by the stem of its file."""
    code = getattr(function, "__code__", None)
    source = f"{code.co_filename}:{code.co_firstlineno}" if code else ""
    names = getattr(function, "__globals__", {})
    # A reload keeps the dictionary of a module and gives it a new spec; a second import gives a new dictionary.
    load = names.get("__spec__") or id(names)
    return Place(module_name(function.__module__), function.__qualname__, source, load)


def checked_name(name: str | None, place: Place) -> str:
    """Return the name to register under, by default ``module.qualname``. Raises ValueError for a bad one."""
    found = f"{place.module}.{place.qualname}" if name is None else name
    if not isinstance(found, str) or not 1 <= len(found) <= NAME_CHARS_MAX or not found.isprintable():
        raise ValueError(f"name must be 1 to {NAME_CHARS_MAX} printable characters, got {found!r} ({place.source})")
    return found


@lru_cache(maxsize=4096)
def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function)


def _summary(function: Callable[..., Any]) -> str:
    return " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())


def _exported(module: object) -> list[StepDefinition | WorkflowDefinition]:
    return [found for it in list(vars(module).values()) if (found := definition_of(it)) is not None]


def _put(known: dict[str, _Kind], definition: _Kind, word: str) -> None:
    other = known.get(definition.name)
    if other is not None and other is not definition and not definition.place.replaces(other.place):
        raise ValueError(
            f"{word} {definition.name!r} is registered twice, at {other.place.source} "
            f"and at {definition.place.source}; give one of them another name"
        )
    known[definition.name] = definition


def _get(known: Mapping[str, _Kind], name: str, word: str) -> _Kind:
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or sorted(known)[:3]
    hint = f"; did you mean {' or '.join(near)}?" if near else f"; no {word} is registered"
    raise NotRegistered(f"no {word} is registered as {name!r}{hint}")
