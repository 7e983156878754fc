"""Sets whose order reaches the log: they iterate by hash, which differs between two processes.

What iterates a set is found; what does not care for the order (``sorted``, ``sum``, another set) is passed over, and so
is a loop that neither awaits nor collects anything.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from holdfast.lint.finding import Spot
from holdfast.lint.module import Body, Module

_MAKERS: Final = frozenset(("set", "frozenset"))
_SET_METHODS: Final = frozenset(("union", "intersection", "difference", "symmetric_difference"))
_OPERATORS: Final = (ast.BitOr, ast.BitAnd, ast.Sub, ast.BitXor)
_IN_ORDER: Final = frozenset(("list", "tuple", "iter", "enumerate", "zip", "map", "filter"))
_ORDERLESS: Final = frozenset(("sorted", "set", "frozenset", "sum", "min", "max", "any", "all", "len", "dict"))
_COLLECTING: Final = frozenset(("append", "appendleft", "extend", "put", "put_nowait", "create_task"))
_ORDER: Final = "the order of a set reaches"
_ADVICE: Final = "iterate over sorted(…), or keep a list or dict"
_LISTS: Final = (ast.ListComp, ast.GeneratorExp, ast.DictComp)


def unordered(module: Module) -> Iterator[Spot]:
    """Find where the order of a set becomes the order of steps."""
    for body in module.workflows:
        sets = _set_names(module, body)
        calm = _orderless(module, body)
        for node in module.nodes(body):
            is_over_set = any(_is_set(it, sets) for it in _iterated(node))
            if is_over_set and id(node) not in calm and _matters(module, body, node):
                yield node, f"{_ORDER} workflow {body.entry}, and it differs between processes: {_ADVICE}"


def _iterated(node: ast.AST) -> list[ast.expr]:
    """Return what a node iterates over, in an order that may show."""
    if isinstance(node, ast.For | ast.AsyncFor):
        return [node.iter]
    if isinstance(node, _LISTS):
        return [it.iter for it in node.generators]
    if isinstance(node, ast.Call):
        starred = [it.value for it in node.args if isinstance(it, ast.Starred)]
        in_order = isinstance(node.func, ast.Name) and node.func.id in _IN_ORDER
        return starred + (list(node.args) if in_order else [])
    if isinstance(node, ast.List | ast.Tuple) and isinstance(node.ctx, ast.Load):
        return [it.value for it in node.elts if isinstance(it, ast.Starred)]
    return []


def _matters(module: Module, body: Body, node: ast.AST) -> bool:
    """Whether a loop passes the order on; everything else that iterates does."""
    if not isinstance(node, ast.For | ast.AsyncFor):
        return True
    inside = [it for statement in node.body for it in ast.walk(statement)]
    return any(
        isinstance(it, ast.Await | ast.Yield)
        or bool(module.durable(it, body))
        or (isinstance(it, ast.Attribute) and it.attr in _COLLECTING)
        for it in inside
    )


def _orderless(module: Module, body: Body) -> set[int]:
    """The nodes that are handed to something that does not care for their order."""
    return {
        id(argument)
        for node in module.nodes(body)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _ORDERLESS
        for argument in node.args
    }


def _set_names(module: Module, body: Body) -> frozenset[str]:
    """Names that hold nothing but sets: in the body, or in the module when the body does not bind them."""
    names: dict[str, bool] = {}
    for statement in module.tree.body:
        for name, is_set in _bindings(statement, frozenset(names)):
            if name not in body.bound:
                names[name] = is_set and names.get(name, True)
    arguments = body.function.args
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        names[argument.arg] = _is_set_type(argument.annotation)
    for node in module.nodes(body):
        for name, is_set in _bindings(node, frozenset(it for it, known in names.items() if known)):
            names[name] = is_set and names.get(name, True)
    return frozenset(name for name, is_set in names.items() if is_set)


def _bindings(node: ast.AST, sets: frozenset[str]) -> Iterator[tuple[str, bool]]:
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Name):
                yield target.id, _is_set(node.value, sets)
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id, _is_set_type(node.annotation) or (node.value is not None and _is_set(node.value, sets))


def _is_set(node: ast.expr, sets: frozenset[str]) -> bool:
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    if isinstance(node, ast.Name):
        return node.id in sets
    if isinstance(node, ast.BinOp) and isinstance(node.op, _OPERATORS):
        return _is_set(node.left, sets) or _is_set(node.right, sets)
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Attribute):
        return node.func.attr in _SET_METHODS and _is_set(node.func.value, sets)
    return isinstance(node.func, ast.Name) and node.func.id in _MAKERS


def _is_set_type(annotation: ast.expr | None) -> bool:
    named = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    return isinstance(named, ast.Name) and named.id in (*_MAKERS, "Set", "FrozenSet", "AbstractSet")
