"""``typing.TypedDict`` for pydantic on Python 3.11, which takes only the one of ``typing_extensions`` there.

Owns the conversion, at the top of an annotation and inside its arguments. The reason for pydantic's refusal is that the
old class forgets ``NotRequired`` written in a string; here the resolved hints decide.
"""

from __future__ import annotations

import sys
import typing
from functools import reduce
from operator import or_
from types import UnionType
from typing import Any, NotRequired, Required, get_args, get_origin, get_type_hints

import typing_extensions


def with_typed_dicts(kind: Any) -> Any:
    """Return the annotation with every old TypedDict made anew; anything else is returned as it is."""
    if sys.version_info >= (3, 12):
        return kind
    if typing.is_typeddict(kind):
        return _made_anew(kind) if type(kind).__module__ == "typing" else kind
    args = get_args(kind)
    if not args or get_origin(kind) is typing.Literal:
        return kind
    converted = tuple(with_typed_dicts(it) for it in args)
    return kind if all(new is old for new, old in zip(converted, args, strict=True)) else _rebuilt(kind, converted)


def _made_anew(kind: Any) -> Any:
    fields = {key: _field(kind, key, hint) for key, hint in get_type_hints(kind, include_extras=True).items()}
    make: Any = typing_extensions.TypedDict
    made = make(kind.__name__, fields)
    made.__module__, made.__qualname__, made.__doc__ = kind.__module__, kind.__qualname__, kind.__doc__
    return made


def _field(kind: Any, key: str, hint: Any) -> Any:
    if get_origin(hint) in (Required, NotRequired):
        return get_origin(hint)[with_typed_dicts(get_args(hint)[0])]
    marker = Required if key in kind.__required_keys__ else NotRequired
    return marker[with_typed_dicts(hint)]


def _rebuilt(kind: Any, args: tuple[Any, ...]) -> Any:
    if isinstance(kind, UnionType):
        return reduce(or_, args)
    if get_origin(kind) is typing.Annotated:
        return typing.Annotated[(args[0], *kind.__metadata__)]
    return kind.copy_with(args) if hasattr(kind, "copy_with") else get_origin(kind)[args]
