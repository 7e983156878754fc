"""Exit codes and the one line that tells why.

Scripts depend on the numbers: 0 done, 1 the run failed or a check found something, 2 wrong use, 3 not reachable. A
line says what was wrong and what to do next; it never carries a traceback.
"""

from __future__ import annotations

from typing import Final

from holdfast.errors import HoldfastError, NotReady, RunCancelled, RunFailed

RUN_FAILED: Final = 1
FOUND: Final = 1
WRONG_USE: Final = 2
NOT_REACHABLE: Final = 3

#: First match wins; every other error is an answer to a wrong question.
_CODES: Final[tuple[tuple[type[Exception], int], ...]] = (
    (NotReady, NOT_REACHABLE),
    (RunFailed, RUN_FAILED),
    (RunCancelled, RUN_FAILED),
)


class CommandError(Exception):
    """Words on the command line that cannot be used; the message says what was expected."""


class NotReachable(NotReady):
    """Nobody answers at an address. The message names it and says how to start something there."""

    def __init__(
        self,
        address: str,
        why: str,
        start: str = "a runtime with `holdfast dev FILE`",
        options: str = "--runtime or HOLDFAST_RUNTIME_ADDRESS",
    ) -> None:
        super().__init__(
            f"nothing usable answers at {address} ({why}); start {start}, or name its address with {options}"
        )


def exit_code_of(error: Exception) -> int:
    """The exit code of an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), WRONG_USE)


def line_of(error: Exception) -> str:
    """The message of an error as one line."""
    return " ".join(str(error).split()) or type(error).__name__


__all__ = ["CommandError", "HoldfastError", "NotReachable", "exit_code_of", "line_of"]
