"""What a function takes and gives: its parameters and annotations, resolved when first needed.

Owns the reading of signatures, so that a forward reference to something defined further down the module works and the
definition of a step costs nothing at import. Knows nothing of JSON: that is ``holdfast/serialization.py``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, get_type_hints

from holdfast.errors import SerializationError

#: The arguments of a call: by position, and by name what cannot be a position.
Arguments = tuple[tuple[Any, ...], dict[str, Any]]

_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_NAMED: Final = (*_POSITIONAL, inspect.Parameter.KEYWORD_ONLY)


class Signature:
    """The parameters and the result of a function; ``owner`` ("step charge") begins every message about them.

    ``names`` are looked up in annotations besides the function's module: the locals around a nested function.
    """

    def __init__(
        self, function: Callable[..., Any], owner: str, names: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        self.function = function
        self.owner = owner
        self._names = names

    @cached_property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """The parameters in order."""
        return self._signature.parameters

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Arguments:
        """Bind arguments as a call would; a keyword that could be a position becomes one.

        Raises TypeError with the words Python uses for a wrong call.
        """
        if not kwargs and len(args) in self.counts:
            return args, {}
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.function.__qualname__}() {error}") from None
        return bound.args, bound.kwargs

    @cached_property
    def counts(self) -> range:
        """How many arguments a call may give when it gives each by the position of a named parameter."""
        required = [it for it in self.parameters.values() if it.default is it.empty and it.kind in _NAMED]
        if any(it.kind is it.KEYWORD_ONLY for it in required):
            return range(0)
        return range(len(required), len(self.positional) + 1)

    @cached_property
    def positional(self) -> tuple[str, ...]:
        """Names of the parameters that can be given by position, without ``*args``."""
        return tuple(name for name, it in self.parameters.items() if it.kind in _POSITIONAL)

    @cached_property
    def variable_positional(self) -> str | None:
        """Name of ``*args``, when there is one."""
        return self._of_kind(inspect.Parameter.VAR_POSITIONAL)

    @cached_property
    def variable_keyword(self) -> str | None:
        """Name of ``**kwargs``, when there is one."""
        return self._of_kind(inspect.Parameter.VAR_KEYWORD)

    @cached_property
    def only_parameter(self) -> str | None:
        """Name of the parameter of a function that has exactly one that is not variable."""
        return next(iter(self.parameters)) if len(self.parameters) == 1 and self._has_no_variable else None

    def annotation(self, parameter: str) -> Any:
        """Return the resolved annotation of a parameter, ``Any`` without one."""
        return self._hints.get(parameter, Any)

    @cached_property
    def result(self) -> Any:
        """The resolved annotation of the result, ``Any`` without one."""
        return self._hints.get("return", Any)

    @property
    def _has_no_variable(self) -> bool:
        return self.variable_positional is None and self.variable_keyword is None

    def _of_kind(self, kind: Any) -> str | None:
        return next((name for name, it in self.parameters.items() if it.kind is kind), None)

    @cached_property
    def _signature(self) -> inspect.Signature:
        return inspect.signature(self.function)

    @cached_property
    def _hints(self) -> dict[str, Any]:
        try:
            return get_type_hints(
                self.function, localns={**self._names, **_enclosing(self.function)}, include_extras=True
            )
        except Exception as error:
            raise SerializationError(
                f"{self.owner}: its annotations cannot be resolved ({type(error).__name__}: {error}); "
                "types must be importable from the module that defines the function"
            ) from error


def _enclosing(function: Callable[..., Any]) -> dict[str, Any]:
    """Names that the function closes over: types of an enclosing function, as far as its body mentions them."""
    code = getattr(function, "__code__", None)
    cells = getattr(function, "__closure__", None) or ()
    found: dict[str, Any] = {}
    for name, cell in zip(code.co_freevars if code else (), cells, strict=False):
        try:
            found[name] = cell.cell_contents
        except ValueError:
            # Assigned later in the enclosing function: not known yet.
            continue
    return found
