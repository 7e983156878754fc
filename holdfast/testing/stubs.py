"""Stand-ins for steps: what a test says a step returns, raises or does.

Owns the table of stubs and what was asked of them. Only the body of a step is replaced: its arguments and its result
still go through the annotations, its failures through the retry policy. Must know no service.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from holdfast.definitions import StepDefinition, definition_of, registry

#: "Not given"; None is a value that a step may return.
UNSET: Final = object()

Body = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class StubCall:
    """One attempt of a stubbed step: its arguments as the step gets them."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stub:
    """The stand-in of one step. ``calls`` are its attempts in order, those of runs that are crashed on purpose not."""

    step_name: str
    body: Body = field(repr=False)
    calls: list[StubCall] = field(default_factory=list)

    @property
    def call_count(self) -> int:
        """How many attempts there were."""
        return len(self.calls)

    def recorded(self) -> Body:
        """Return the body, which notes each call."""

        async def run(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(StubCall(args, kwargs))
            return await self.body(*args, **kwargs)

        return run


class Stubs:
    """Stubs by the name of their step; the last one given counts."""

    def __init__(self) -> None:
        self._by_name: dict[str, Stub] = {}

    def put(self, step: Callable[..., Any] | str, returning: Any, raising: Any, calling: Any) -> Stub:
        """Set the stub of a step. Raises TypeError unless exactly one behaviour is given; NotRegistered, TypeError."""
        given = {
            name: value
            for name, value in (("returning", returning), ("raising", raising), ("calling", calling))
            if value is not UNSET
        }
        if len(given) != 1:
            raise TypeError(f"a stub needs one of returning=, raising= and calling=, got {', '.join(given) or 'none'}")
        ((behaviour, value),) = given.items()
        name = _definition(step).name
        stub = self._by_name[name] = Stub(name, _BEHAVIOURS[behaviour](value))
        return stub

    def body_of(self, definition: StepDefinition, *, is_recorded: bool) -> Body | None:
        """Return what runs instead of the step's own function, None when nothing does."""
        stub = self._by_name.get(definition.name)
        if stub is None:
            return None
        return stub.recorded() if is_recorded else stub.body


def _definition(step: Callable[..., Any] | str) -> StepDefinition:
    definition = registry.step(step) if isinstance(step, str) else definition_of(step)
    if not isinstance(definition, StepDefinition):
        raise TypeError(f"a stub stands in for a function with @step or the name of one, got {step!r}")
    return definition


def _returning(value: Any) -> Body:
    async def body(*args: Any, **kwargs: Any) -> Any:
        return value

    return body


def _raising(error: Any) -> Body:
    if not isinstance(error, BaseException) and not (isinstance(error, type) and issubclass(error, BaseException)):
        raise TypeError(f"raising= takes an exception or a class of exceptions, got {error!r}")

    async def body(*args: Any, **kwargs: Any) -> Any:
        # The same object is raised at each attempt; without this its traceback would grow.
        raise error.with_traceback(None) if isinstance(error, BaseException) else error

    return body


def _calling(function: Any) -> Body:
    if not callable(function):
        raise TypeError(f"calling= takes a function, plain or async, got {function!r}")

    async def body(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        return await result if inspect.isawaitable(result) else result

    return body


_BEHAVIOURS: Final[dict[str, Callable[[Any], Body]]] = {
    "returning": _returning,
    "raising": _raising,
    "calling": _calling,
}
