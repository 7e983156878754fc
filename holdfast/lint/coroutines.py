"""Async code that does not do what it looks like: cancellation swallowed, calls that block, calls never awaited."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from holdfast.lint.finding import Spot
from holdfast.lint.module import Body, Module

_CANCELLED: Final = frozenset(("asyncio.CancelledError", "asyncio.exceptions.CancelledError", "BaseException"))

#: What blocks the thread of everybody when it is called in an ``async def``.
_BLOCKING: Final = frozenset(("time.sleep", "input"))
_BLOCKING_IN_STEPS: Final = frozenset(
    (
        *("requests.", "urllib.request.", "http.client.", "smtplib.", "os.system", "socket.create_connection"),
        *("subprocess.run", "subprocess.call", "subprocess.check_call", "subprocess.check_output"),
        *("httpx.get", "httpx.post", "httpx.put", "httpx.delete", "httpx.request", "sqlite3.connect"),
    )
)

_ADVICE: Final = "make the step a plain def, which runs in a thread, or await an async call"


def swallowed_cancel(module: Module) -> Iterator[Spot]:
    """Find handlers that end a cancellation: the run or the step then goes on as if nobody had asked it to stop."""
    for body in (*module.workflows, *(it for it in module.steps if it.is_async)):
        for node in module.nodes(body):
            if isinstance(node, ast.Try):
                yield from _swallowing(module, body, node)
            elif isinstance(node, ast.With | ast.AsyncWith):
                yield from _suppressing(module, body, node)


def _swallowing(module: Module, body: Body, node: ast.Try) -> Iterator[Spot]:
    if not _awaits(node.body):
        return
    for handler in node.handlers:
        if _catches_cancel(module, body, handler.type) and not _has(handler.body, ast.Raise):
            yield handler, f"{body.entry} swallows CancelledError here: re-raise it, or catch Exception instead"
    for leaving in (it for statement in node.finalbody for it in ast.walk(statement)):
        if isinstance(leaving, ast.Return):
            yield leaving, f"return in finally swallows CancelledError in {body.entry}: return after the try statement"


def _suppressing(module: Module, body: Body, node: ast.With | ast.AsyncWith) -> Iterator[Spot]:
    for item in node.items:
        call = item.context_expr
        if not isinstance(call, ast.Call) or module.name_of(call.func, body) != "contextlib.suppress":
            continue
        if any(_catches_cancel(module, body, it) for it in call.args) and _awaits(node.body):
            yield call, f"{body.entry} suppresses CancelledError here: suppress a narrower class of errors"


def _catches_cancel(module: Module, body: Body, kind: ast.expr | None) -> bool:
    if kind is None:
        return True
    if isinstance(kind, ast.Tuple):
        return any(_catches_cancel(module, body, it) for it in kind.elts)
    return module.name_of(kind, body) in _CANCELLED


def blocking(module: Module) -> Iterator[Spot]:
    """Find calls that block the event loop of the runtime."""
    for body in module.workflows:
        for call, name in _calls_of(module, body, _BLOCKING):
            yield call, f"{name}() blocks the runtime in workflow {body.entry}: use await holdfast.sleep() or a step"
    for body in module.steps:
        if body.is_async:
            for call, name in _calls_of(module, body, _BLOCKING | _BLOCKING_IN_STEPS):
                yield call, f"{name}() blocks the event loop in the async step {body.entry}: {_ADVICE}"


def _calls_of(module: Module, body: Body, names: frozenset[str]) -> Iterator[tuple[ast.Call, str]]:
    for node in module.nodes(body):
        if isinstance(node, ast.Call):
            name = module.name_of(node.func, body)
            if name in names or any(name.startswith(it) for it in names if it.endswith(".")):
                yield node, name


def unawaited(module: Module) -> Iterator[Spot]:
    """Find steps and coroutines that are called and never awaited: they never run."""
    for body in (*module.workflows, *module.steps):
        loaded = {it.id for it in module.nodes(body) if isinstance(it, ast.Name) and isinstance(it.ctx, ast.Load)}
        for node in module.nodes(body):
            call = _dropped(module, body, node, loaded)
            if call is not None:
                name = module.durable(call, body)
                yield call, f"{name}() is called in {body.entry} and never awaited, so it never runs: await it"


def _dropped(module: Module, body: Body, node: ast.AST, loaded: set[str]) -> ast.expr | None:
    """Return the call whose coroutine nobody can await, if the statement has one."""
    if isinstance(node, ast.Expr):
        found: ast.expr | None = node.value
    elif isinstance(node, ast.Assign):
        is_used = any(not isinstance(it, ast.Name) or it.id in loaded for it in node.targets)
        found = None if is_used else node.value
    elif isinstance(node, ast.Return) and module.is_workflow(body.function):
        found = node.value
    else:
        return None
    name = module.durable(found, body)
    is_plain_call = body in module.steps and not _is_coroutine(module, name)
    # gather begins at once what it is given.
    return found if name and name != "asyncio.gather" and not is_plain_call else None


def _is_coroutine(module: Module, name: str) -> bool:
    own = module.functions.get(name)
    return isinstance(own, ast.AsyncFunctionDef) or name.startswith(("asyncio.", "holdfast."))


def _awaits(statements: list[ast.stmt]) -> bool:
    return _has(statements, ast.Await, ast.AsyncFor, ast.AsyncWith)


def _has(statements: list[ast.stmt], *kinds: type[ast.AST]) -> bool:
    return any(isinstance(it, kinds) for statement in statements for it in ast.walk(statement))
