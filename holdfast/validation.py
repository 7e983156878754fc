"""Whether definitions can work at all: their annotations resolve, and their types have a JSON form.

A decorator checks what is cheap; the rest shows at the first call, which is late. `holdfast check` looks at all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from holdfast.adapters import adapter_of
from holdfast.definitions import StepDefinition, WorkflowDefinition
from holdfast.errors import SerializationError


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a definition; ``source`` is "file:line"."""

    name: str
    source: str
    message: str


def problems_of(definitions: Iterable[StepDefinition | WorkflowDefinition]) -> list[Problem]:
    """Return what is wrong with the types of definitions, in their order."""
    return [
        Problem(definition.name, definition.source, message)
        for definition in definitions
        for message in dict.fromkeys(_messages(definition))
    ]


def _messages(definition: StepDefinition | WorkflowDefinition) -> Iterator[str]:
    signature = definition.signature
    for name in signature.parameters:
        yield from _message(f"parameter {name!r}", lambda name=name: signature.annotation(name))  # type: ignore[misc]
    yield from _message("the result", lambda: signature.result)


def _message(what: str, annotation: Callable[[], Any]) -> Iterator[str]:
    try:
        kind = annotation()
    except SerializationError as error:
        # One annotation that does not resolve makes all of them unknown: told once, without a parameter.
        yield str(error)
        return
    try:
        adapter_of(kind).prepare()
    except SerializationError as error:
        yield f"{what} {error}"
