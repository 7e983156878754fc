"""``make mutate``: mutation testing of the rules and of replay.

``python -m tests.mutation map`` finds out which tests run which lines; ``run`` draws ``--count`` mutants of a package
by ``--seed``, and runs those that have no result yet (``--seconds S`` at most, ``--again`` those that survived);
``control`` runs every module unchanged, which has to survive; ``report`` writes docs/mutation.md. Results are kept in
``.mutation/``, so that a run may be interrupted and go on.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.mutation import cover, runner
from tests.mutation.draws import KEPT, draw, still_there
from tests.mutation.operators import Mutant
from tests.mutation.report import write_report
from tests.mutation.results import is_dead, note, outcomes

#: A change that changes nothing, beside a docstring nobody reads.
_NOTHING: Final = "unchanged"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("what", choices=("map", "run", "control", "report"))
    parser.add_argument("--package", choices=sorted(cover.TESTS), default="store_service.rules")
    parser.add_argument("--module", default="", help="only modules whose name holds this")
    parser.add_argument("--count", type=int, default=100, help="mutants of a new draw")
    parser.add_argument("--seed", type=int, default=1, help="which draw")
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after this time; the next run goes on")
    parser.add_argument("--tests-seconds", type=float, default=8, help="time of the tests that a mutant meets")
    parser.add_argument("--tests", nargs="*", default=[], help="only these tests, for those that survived others")
    parser.add_argument("--again", action="store_true", help="run again what was not killed")
    options = parser.parse_args()
    KEPT.mkdir(exist_ok=True)
    return {"map": _map, "run": _run, "control": _control, "report": _report}[options.what](options)


def _map(options: argparse.Namespace) -> int:
    cover.record(options.package, runner.directory_of(options.package), _map_of(options.package))
    return 0


def _map_of(package: str) -> Path:
    return KEPT / f"{package}.json"


def _run(options: argparse.Namespace) -> int:
    """Run what has no result yet."""
    tests = _tests(options)
    until = time.monotonic() + options.seconds
    for module, mutant in _waiting(options):
        if time.monotonic() > until:
            return 0
        result = runner.run_mutant(module, mutant, tests, options.tests_seconds)
        note(result)
        if not is_dead(result.outcome):
            print(f"{result.outcome}: {module} {mutant.line} {mutant.what}", flush=True)
    print("every mutant of the draw has a result")
    return 0


def _tests(options: argparse.Namespace) -> cover.CoverMap:
    """Return what the mutants meet, with everything imported for the forks of this process."""
    covered = cover.only(options.tests) if options.tests else cover.load(_map_of(options.package))
    runner.import_everything(covered)
    return covered


def _waiting(options: argparse.Namespace) -> Iterator[tuple[str, Mutant]]:
    known = outcomes()
    for module, what, mutant in still_there(draw(options.package, options.seed, options.count)):
        before = known.get((module, what), "")
        if mutant is not None and options.module in module and not is_dead(before) and (options.again or not before):
            yield module, mutant


def _control(options: argparse.Namespace) -> int:
    """Run every module without a change: a test that fails here fails mutants that it does not see."""
    tests = _tests(options)
    for module in runner.modules_of(options.package):
        lines = [int(it) for it in tests.lines.get(module, {})] or [1]
        for line in sorted({lines[0], lines[len(lines) // 2], lines[-1]}):
            mutant = Mutant(line, f"{_NOTHING} at {line}", lambda: None)
            result = runner.run_mutant(module, mutant, tests, options.tests_seconds)
            print(f"{result.outcome}: {module} {mutant.what} in {result.seconds} s", flush=True)
    return 0


def _report(options: argparse.Namespace) -> int:
    return write_report()


if __name__ == "__main__":
    sys.exit(main())
