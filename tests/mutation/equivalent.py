"""Mutants that are the same program, each with the reason.

Owns the list. An entry is a judgement made by reading the code, one by one; a mutant belongs here only when no caller
can tell it from the original. What no test has noticed yet is a survivor and stays one. An entry whose mutant is killed
after all is wrong, and the report says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: Module without its package's prefix, and the change as the report names it → why nobody can tell.
EQUIVALENT: Final[Mapping[tuple[str, str], str]] = {}
