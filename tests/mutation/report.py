"""The report of mutation testing, docs/mutation.md: figures by package and module, and every survivor by name.

Owns the page. A survivor that is listed in `EQUIVALENT` is the same program, with the reason; every other one is a test
that is missing, or one that the time of a mutant's tests had no room for, and counts as not killed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from tests.mutation.operators import mutants_of
from tests.mutation.runner import modules_of, source_of

PAGE: Final = Path("docs/mutation.md")

Results = Mapping[tuple[str, str], str]

#: Module, and how its change begins without the line → why it is the same program.
EQUIVALENT: Final[Mapping[tuple[str, str], str]] = {
    ("store_service.rules.append", "1 as 2 (no. 2)"): "the limit of the same read ends it at the same event",
    ("store_service.rules.delta", "1 as 2"): "the limit of the same read ends it at the same event",
    ("store_service.rules.delta", "count * _EVENT_BYTES_MIN"): "saves a read that would come to the same",
    ("store_service.rules.cursors", "True turned"): "no request with a page token has a map, whose order could differ",
    ("store_service.rules.refusals", "is_same negated"): "chooses words",
    ("store_service.rules.audit", "1 as 2"): "counts what is only compared with none",
    ("store_service.rules.staleness", "0 as 1"): "the marker of a stale snapshot is never less than 1",
    ("store_service.rules.queue", "return False as None"): "asked for its truth only",
    ("store_service.rules.stream_reading", "return False as None"): "asked for its truth only",
}

_OPENING = """# Mutation testing

A mutant is the code with one small mistake in it: `<` for `<=`, `and` for `or`, a condition turned round, a statement
left out, `None` for a result, 1 for 0. If no test fails, a test is missing. Left out is what no test should notice:
words of messages, annotations, log lines, numbers above two (sizes), assertions.

```sh
make mutate
```

makes a map of which tests run which line, then runs mutants of `store_service/rules` and `runtime_service/replay`
against the tests that can see them, the fastest first (`python -m tests.mutation --help`; results are kept in
`.mutation/`, and a run may be interrupted). The runner is our own: a mutant lives in a fork of a process that has
imported the tests, which takes a third of a second, and it changes tables at the level of modules too, which hold many
of the rules here and which tools that wrap functions do not reach.

The aim is 90 %. The figures are of a sample: at most six mutants of each module, chosen by a seed before any was run.
Read them with this in mind:

* Tests were written for survivors of this very sample, so it flatters the code beside it. An earlier run of the same
  sample, before most of them, killed 80 % of the mutants of the rules; a few of its survivors were a fault of the
  runner, which did not make anew what an import had made. Another `--seed` is a fairer judge.
* No tests were written yet for the survivors of replay, and its sample is not complete.
* Most mutants met eight seconds of tests. A survivor may be one that a slower test would have killed, or one in another
  directory than those that `tests/mutation/cover.py` lists; it counts as a survivor all the same.
* Survivors of the rules that got tests of their own were run again with those tests alone, on later code.

"""


def write_report(results: Results) -> int:
    """Write docs/mutation.md from what is known."""
    packages = sorted({module.rpartition(".")[0] for module, _ in results})
    PAGE.write_text(_OPENING + "\n".join(line for package in packages for line in _of_package(package, results)))
    print(f"{PAGE} is written: {len(results)} mutants")
    return 0


def _of_package(package: str, results: Results) -> Iterator[str]:
    own = {key: outcome for key, outcome in results.items() if key[0].startswith(f"{package}.")}
    killed, counted = _figures(own)
    yield f"## `{package}`"
    yield ""
    looked_at = len({module for module, _ in own})
    share = killed / max(1, counted)
    yield f"{killed} of {counted} mutants killed: **{share:.1%}**; {len(own) - counted} more are the same program."
    yield f"Looked at: {looked_at} of the {_modules_with_mutants(package)} modules that have mutants."
    yield ""
    yield "| Module | Mutants | Killed |"
    yield "|---|---|---|"
    for module in sorted({module for module, _ in own}):
        killed, counted = _figures({key: outcome for key, outcome in own.items() if key[0] == module})
        yield f"| `{module.rpartition('.')[2]}` | {counted} | {killed} |"
    yield ""
    survivors = sorted(key for key, outcome in own.items() if not _is_dead(outcome))
    if survivors:
        yield "Survivors:"
        yield ""
        yield from (f"* `{module.rpartition('.')[2]}` {_shown(what)}{_why(module, what)}" for module, what in survivors)
        yield ""


def _modules_with_mutants(package: str) -> int:
    return sum(bool(mutants_of(source_of(module)[1])) for module in modules_of(package))


def _figures(results: Results) -> tuple[int, int]:
    """Return how many were killed, and of how many that are not the same program."""
    dead = sum(_is_dead(outcome) for outcome in results.values())
    alive = sum(not (_is_dead(outcome) or _reason(*key)) for key, outcome in results.items())
    return dead, dead + alive


def _is_dead(outcome: str) -> bool:
    return outcome in ("killed", "hung")


def _reason(module: str, what: str) -> str:
    change = what.partition(": ")[2]
    return next((why for (of, how), why in EQUIVALENT.items() if of == module and change.startswith(how)), "")


def _shown(what: str) -> str:
    line, _, change = what.partition(": ")
    return f"line {line}: `` {change} ``"


def _why(module: str, what: str) -> str:
    reason = _reason(module, what)
    return f" – the same program: {reason}" if reason else ""
