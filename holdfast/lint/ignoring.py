"""``# holdfast: ignore[rule]``: findings that somebody has looked at.

The comment stands on the line of the finding and names its rules; without names it is for all of them. It is looked
for in comments only, never in strings.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Mapping
from typing import Final

_COMMENT: Final = re.compile(r"#\s*holdfast:\s*ignore(?:\[([^\]]*)\])?")


def ignored_rules(source: str) -> Mapping[int, frozenset[str]]:
    """Return line → rules that are ignored there; an empty set is all of them."""
    found: dict[int, frozenset[str]] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and (comment := _COMMENT.search(token.string)):
            names = (name.strip() for name in (comment[1] or "").split(","))
            found[token.start[0]] = frozenset(filter(None, names))
    return found
