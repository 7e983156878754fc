"""Values without an annotation, as plain JSON values.

Owns what happens to a value that nobody declared a type for: JSON values are copied, objects go by the type they have,
and what would silently become something else (keys that are no text) is refused. ``holdfast/adapters.py`` calls it
for ``Any`` at any depth.
"""

from __future__ import annotations

import json
from typing import Any

from holdfast.errors import SerializationError


def plain(value: Any) -> Any:
    """Turn a value without annotation into plain JSON values; sets become lists in a fixed order.

    Raises ValueError for keys that are not text and for what has no JSON form.
    """
    if value is None or type(value) in (bool, str, int, float):
        return value
    if type(value) is dict:
        return {_text_key(key): plain(it) for key, it in value.items()}
    if type(value) in (list, tuple):
        return [plain(it) for it in value]
    if type(value) in (set, frozenset):
        return in_order([plain(it) for it in value])
    return _by_its_type(value)


def in_order(values: list[Any]) -> list[Any]:
    """Sort the members of a set, so that equal sets are written alike whatever the hash seed."""
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=lambda it: json.dumps(it, sort_keys=True, default=str))


def _text_key(key: Any) -> str:
    if type(key) is not str:
        raise ValueError(f"the key {key!r} is not text; annotate the value, for instance as dict[int, str]")
    return key


def _by_its_type(value: Any) -> Any:
    from holdfast.adapters import adapter_of, name_of

    kind = type(value)
    if kind is object:
        raise ValueError("an object() has no JSON form")
    try:
        return json.loads(adapter_of(kind).encode(value))
    except SerializationError as error:
        raise ValueError(f"a value of type {name_of(kind)} {error}") from None
