"""`holdfast lint`: what a workflow body must not do, seen in the source before it runs.

Reads source only and imports none of it. One table of rules (``rules.py``), one file per family of checks, all over
the same view of a module (``module.py``). What a rule can prove it says; what it cannot it leaves to the guard that
the runtime puts around workflow bodies. Rules are explained in docs/authoring/lint.md.
"""

from holdfast.lint.finding import Finding
from holdfast.lint.rules import RULES, lint_file, lint_source

__all__ = ["RULES", "Finding", "lint_file", "lint_source"]
