"""Module variables that a workflow body changes, or reads while others change them.

A replay begins with whatever the process holds then, and another process holds something else. Constants are fine: a
list that nobody in the module changes counts as one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from holdfast.lint.finding import Spot
from holdfast.lint.module import Body, Module

_DISPLAYS: Final = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
_MAKERS: Final = frozenset(
    (
        *("list", "dict", "set", "bytearray", "collections.defaultdict", "collections.deque"),
        *("collections.OrderedDict", "collections.Counter"),
    )
)
_CHANGING: Final = frozenset(
    (
        *("append", "appendleft", "extend", "insert", "add", "update", "setdefault", "pop", "popleft", "popitem"),
        *("remove", "discard", "clear", "sort", "reverse"),
    )
)


def mutable_global(module: Module) -> Iterator[Spot]:
    """Find workflow bodies that change module variables, or read those that somebody changes."""
    mutable = frozenset(_mutable_names(module))
    rebound = {name for it in ast.walk(module.tree) if isinstance(it, ast.Global) for name in it.names}
    changed = {name for node in ast.walk(module.tree) for name in _changed(node)} & mutable | rebound
    for body in module.workflows:
        yield from _spots(module, body, mutable, changed)


def _spots(module: Module, body: Body, mutable: frozenset[str], changed: set[str]) -> Iterator[Spot]:
    told: set[str] = set()
    for node in module.nodes(body):
        if isinstance(node, ast.Global):
            told.update(node.names)
            yield node, _message(f"changes the module variable {', '.join(node.names)}", body)
        for name in _changed(node):
            if name in mutable and name not in body.bound and name not in told:
                told.add(name)
                yield node, _message(f"changes the module variable {name}", body)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in changed - told - body.bound:
            told.add(node.id)
            yield node, _message(f"reads the module variable {node.id}, which this module changes,", body)


def _message(what: str, body: Body) -> str:
    return f"workflow {body.entry} {what} and a replay would find another value: use arguments, locals or a step"


def _mutable_names(module: Module) -> Iterator[str]:
    for statement in module.tree.body:
        value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        is_made = isinstance(value, ast.Call) and module.name_of(value.func) in _MAKERS
        if isinstance(value, _DISPLAYS) or is_made:
            yield from (it.id for it in targets if isinstance(it, ast.Name))


def _changed(node: ast.AST) -> Iterator[str]:
    """Yield the names whose value a node changes in place."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGING:
        yield from _name(node.func.value)
    elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        yield from _name(node.value)
    elif isinstance(node, ast.AugAssign):
        yield from _name(node.target)


def _name(node: ast.AST) -> Iterator[str]:
    while isinstance(node, ast.Subscript):
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id
