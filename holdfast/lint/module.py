"""A module as the rules see it: its tree, what its names mean, and which functions run as workflow or step bodies.

Owns the resolution of imported names (``t`` of ``from time import time as t`` is "time.time") and of what a workflow
body is: a function under ``@workflow``, and each function of the module that such a body calls by its name, for that
runs in the body too. Sees one module at a time, and the decorators of the modules beside it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

_WORKFLOW = frozenset(("holdfast.workflow", "holdfast.decorators.workflow"))
_STEP = frozenset(("holdfast.step", "holdfast.decorators.step"))


@dataclass(frozen=True, eq=False)
class Body:
    """A function that is run as part of a workflow or step; ``entry`` is the decorated one that leads to it."""

    function: FunctionNode
    entry: str

    @property
    def is_async(self) -> bool:
        return isinstance(self.function, ast.AsyncFunctionDef)

    @cached_property
    def bound(self) -> frozenset[str]:
        """Names that are bound in the function: parameters and whatever is assigned, but not imports."""
        return frozenset(_bound_names(self.function))


@dataclass(eq=False)
class Module:
    """One parsed module. ``path`` is where it is, for the modules beside it; None for a source without a file."""

    tree: ast.Module
    path: Path | None = None
    imports: dict[str, str] = field(default_factory=dict)
    functions: dict[str, FunctionNode] = field(default_factory=dict)
    workflows: list[Body] = field(default_factory=list)
    steps: list[Body] = field(default_factory=list)

    @classmethod
    def parse(cls, source: str, path: Path | None = None) -> Module:
        """Parse a module. Raises SyntaxError."""
        module = cls(ast.parse(source), path)
        module.imports = dict(_imports(module.tree))
        module.functions = {it.name: it for it in ast.walk(module.tree) if isinstance(it, _FUNCTIONS)}
        decorated = list(module.functions.values())
        module.steps = [Body(it, it.name) for it in decorated if module.is_step(it)]
        module.workflows = list(module._with_helpers([it for it in decorated if module.is_workflow(it)]))
        return module

    def is_workflow(self, function: FunctionNode) -> bool:
        return self._has_decorator(function, _WORKFLOW)

    def is_step(self, function: FunctionNode) -> bool:
        return self._has_decorator(function, _STEP)

    def name_of(self, node: ast.AST | None, body: Body | None = None) -> str:
        """Return the dotted name that an expression stands for: imports resolved, "" when it is none.

        A name that the body binds itself is its own and not the module's.
        """
        if isinstance(node, ast.Attribute):
            owner = self.name_of(node.value, body)
            return f"{owner}.{node.attr}" if owner else ""
        if not isinstance(node, ast.Name) or (body is not None and node.id in body.bound):
            return ""
        return self.imports.get(node.id, node.id)

    def nodes(self, body: Body) -> Iterator[ast.AST]:
        """Walk what runs when the body does: nested functions too, but no nested step, decorator or annotation."""
        pending: list[ast.AST] = [it for it in body.function.body if not self._is_nested_step(it)]
        while pending:
            node = pending.pop(0)
            yield node
            pending[:0] = [it for it in _running_children(node) if not self._is_nested_step(it)]

    def durable(self, node: ast.AST | None, body: Body) -> str:
        """Return the name of the step, workflow or coroutine function that a call calls, "" for anything else."""
        if not isinstance(node, ast.Call):
            return ""
        name = self.name_of(node.func, body)
        own = self.functions.get(name)
        if own is not None and (isinstance(own, ast.AsyncFunctionDef) or self.is_step(own)):
            return name
        return name if name in _AWAITED or name in self._imported_durables else ""

    @cached_property
    def _imported_durables(self) -> frozenset[str]:
        """Steps and workflows that come from modules beside this one."""
        return frozenset(it for it in self.imports.values() if "." in it and self._is_durable_elsewhere(it))

    def _is_durable_elsewhere(self, name: str) -> bool:
        owner, _, function = name.lstrip(".").rpartition(".")
        if self.path is None or not owner:
            return False
        file = self.path.parent / f"{owner.replace('.', '/')}.py"
        if not file.is_file() or file == self.path:
            return False
        try:
            tree = ast.parse(file.read_text())
        except (SyntaxError, UnicodeDecodeError, OSError):
            return False
        other = Module(tree, None, dict(_imports(tree)))
        return any(
            isinstance(it, _FUNCTIONS) and it.name == function and (other.is_step(it) or other.is_workflow(it))
            for it in tree.body
        )

    def _has_decorator(self, function: FunctionNode, names: frozenset[str]) -> bool:
        calls = [it.func if isinstance(it, ast.Call) else it for it in function.decorator_list]
        return any(self.name_of(it) in names for it in calls)

    def _is_nested_step(self, node: ast.AST) -> bool:
        return isinstance(node, _FUNCTIONS) and (self.is_step(node) or self.is_workflow(node))

    def _with_helpers(self, entries: list[FunctionNode]) -> Iterator[Body]:
        seen: set[str] = set()
        for entry in entries:
            pending = [entry]
            while pending:
                function = pending.pop(0)
                if function.name in seen:
                    continue
                seen.add(function.name)
                body = Body(function, entry.name)
                yield body
                pending += self._helpers(body)

    def _helpers(self, body: Body) -> Iterator[FunctionNode]:
        for node in self.nodes(body):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                found = self.functions.get(node.func.id)
                is_nested = found is not None and any(found is it for it in ast.walk(body.function))
                if found is not None and not is_nested and not self._is_nested_step(found):
                    yield found


#: Coroutine functions of holdfast and asyncio that do nothing until they are awaited.
_AWAITED = frozenset(
    (
        *("holdfast.sleep", "holdfast.set_attributes", "holdfast.start"),
        *("asyncio.sleep", "asyncio.wait", "asyncio.wait_for", "asyncio.gather"),
    )
)


def _imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                yield alias.asname or top, alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom):
            owner = "." * node.level + (node.module or "")
            for alias in node.names:
                yield alias.asname or alias.name, f"{owner}.{alias.name}" if node.module else f"{owner}{alias.name}"


def _running_children(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
        yield from node.body
        return
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield child


def _bound_names(function: FunctionNode) -> Iterator[str]:
    shared = {name for it in ast.walk(function) if isinstance(it, ast.Global) for name in it.names}
    for node in ast.walk(function):
        if isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id not in shared:
            yield node.id
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.name
