"""What a mutant is: one small change to a module, of the kind that people make by mistake.

Owns the list of changes. A change is applied to the syntax tree in place, in a process that dies with it. Left out is
what no test should notice: the words of messages, annotations, log lines, and numbers above two, which are sizes. Read
``runner.py`` for what is done with a mutant.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

Change = Callable[[], None]

_COMPARISONS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ARITHMETIC: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
}
_CALLS: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}

#: The largest number that is logic and not a size.
_LOGICAL_MAX: Final = 2


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change. ``what`` is the function and the change in words, unique within the module, and the same after the
    lines around it have changed. ``line`` is where it is now."""

    line: int
    what: str
    apply: Change


def mutants_of(tree: ast.Module) -> list[Mutant]:
    """Return every change to a module, in the order of its lines. Applying one makes the others meaningless."""
    found: list[Mutant] = []
    counts: dict[str, int] = {}
    for line, scope, change, apply in _changes(tree):
        what = f"{scope}: {change}"
        count = counts[what] = counts.get(what, 0) + 1
        found.append(Mutant(line, what + (f" (no. {count})" if count > 1 else ""), apply))
    return found


def _changes(tree: ast.Module) -> Iterator[tuple[int, str, str, Change]]:
    unseen = set(_silent(tree))
    for scope, node in _walk(tree, unseen, ""):
        for kind, make in _MAKERS.items():
            if isinstance(node, kind):
                for change, apply in make(node):
                    yield node.lineno, scope, change, apply
        for line, change, apply in _removals(node):
            yield line, scope, change, apply


def _walk(node: ast.AST, unseen: set[int], scope: str) -> Iterator[tuple[str, Any]]:
    """Return every node below one that tests should notice, each with the name of the function or class it is in."""
    for child in ast.iter_child_nodes(node):
        if id(child) not in unseen:
            is_named = isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            inner = f"{scope}.{child.name}".lstrip(".") if is_named else scope
            yield inner, child
            yield from _walk(child, unseen, inner)


def _silent(tree: ast.Module) -> Iterator[int]:
    """Return the ids of nodes that no test should notice."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr | ast.Assert) or _is_log(node):
            yield id(node)
        elif isinstance(node, ast.AnnAssign | ast.arg):
            yield id(node.annotation)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from (id(it) for it in (node.returns, *node.decorator_list))
        elif isinstance(node, ast.ClassDef):
            yield from (id(it) for it in node.decorator_list)


def _is_log(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[0] in ("log", "_log")


def _compare(node: ast.Compare) -> Iterator[tuple[str, Change]]:
    for index, operator in enumerate(node.ops):
        other = _COMPARISONS[type(operator)]

        def apply(index: int = index, other: type[ast.cmpop] = other) -> None:
            node.ops[index] = other()

        yield f"{_said(node)} with {other.__name__}", apply


def _bool_op(node: ast.BoolOp) -> Iterator[tuple[str, Change]]:
    other = ast.Or if isinstance(node.op, ast.And) else ast.And
    yield f"{_said(node)} with {other.__name__.lower()}", lambda: setattr(node, "op", other())


def _bin_op(node: ast.BinOp) -> Iterator[tuple[str, Change]]:
    other = _ARITHMETIC.get(type(node.op))
    if other is not None:
        yield f"{_said(node)} with {other.__name__}", lambda: setattr(node, "op", other())


def _unary(node: ast.UnaryOp) -> Iterator[tuple[str, Change]]:
    if isinstance(node.op, ast.Not):
        twice = ast.UnaryOp(ast.Not(), node.operand)
        yield f"{_said(node)} without not", lambda: setattr(node, "operand", ast.copy_location(twice, node))


def _constant(node: ast.Constant) -> Iterator[tuple[str, Change]]:
    if isinstance(node.value, bool):
        yield f"{node.value} turned", lambda: setattr(node, "value", not node.value)
    elif isinstance(node.value, int) and abs(node.value) <= _LOGICAL_MAX:
        yield f"{node.value} as {node.value + 1}", lambda: setattr(node, "value", int(node.value) + 1)


def _test(node: ast.If | ast.IfExp | ast.While) -> Iterator[tuple[str, Change]]:
    if not isinstance(node.test, ast.Compare | ast.UnaryOp):
        negated = ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node.test)
        yield f"{_said(node.test)} negated", lambda: setattr(node, "test", negated)


def _call(node: ast.Call) -> Iterator[tuple[str, Change]]:
    if isinstance(node.func, ast.Name) and node.func.id in _CALLS:
        name, other = node.func, _CALLS[node.func.id]
        yield f"{_said(node)} with {other}", lambda: setattr(name, "id", other)


def _return(node: ast.Return) -> Iterator[tuple[str, Change]]:
    if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
        nothing = ast.copy_location(ast.Constant(None), node.value)
        yield f"{_said(node)} as None", lambda: setattr(node, "value", nothing)


def _removals(node: Any) -> Iterator[tuple[int, str, Change]]:
    """Statements that can be left out: calls, raises, and assignments to what others see."""
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if not isinstance(block, list) or isinstance(node, ast.ClassDef):
            continue
        for index, statement in enumerate(block):
            if _is_removable(statement):
                gone = ast.copy_location(ast.Pass(), statement)

                def apply(block: list[ast.stmt] = block, index: int = index, gone: ast.stmt = gone) -> None:
                    block[index] = gone

                yield statement.lineno, f"without {_said(statement)}", apply


def _is_removable(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr):
        return not isinstance(statement.value, ast.Constant) and not _is_log(statement.value)
    if isinstance(statement, ast.Assign | ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return isinstance(statement, ast.AugAssign) or any(
            isinstance(it, ast.Attribute | ast.Subscript) for it in targets
        )
    return isinstance(statement, ast.Raise | ast.Delete)


def _said(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 70 else f"{text[:67]}..."


_MAKERS: Final[dict[Any, Callable[[Any], Iterator[tuple[str, Change]]]]] = {
    ast.Compare: _compare,
    ast.BoolOp: _bool_op,
    ast.BinOp: _bin_op,
    ast.UnaryOp: _unary,
    ast.Constant: _constant,
    (ast.If, ast.IfExp, ast.While): _test,
    ast.Call: _call,
    ast.Return: _return,
}
