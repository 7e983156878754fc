"""``make mutate``: mutation testing of the rules and of replay.

``python -m tests.mutation map`` finds out which tests run which lines; ``run`` runs every mutant that has no result yet
(``--sample N`` of each module, ``--seconds S`` at most, ``--again`` those that survived); ``report`` writes
docs/mutation.md. Results are kept in ``.mutation/``, so that a run may be interrupted and go on.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path
from typing import Any, Final

from tests.mutation import cover, runner
from tests.mutation.operators import Mutant, mutants_of
from tests.mutation.report import write_report

KEPT: Final = Path(".mutation")
RESULTS: Final = KEPT / "results.jsonl"

_DEAD: Final = ("killed", "hung")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("what", choices=("map", "run", "report"))
    parser.add_argument("--package", choices=sorted(cover.TESTS), default="store_service.rules")
    parser.add_argument("--module", default="", help="only modules whose name holds this")
    parser.add_argument("--sample", type=int, default=0, help="so many mutants of each module, chosen by --seed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after this time; the next run goes on")
    parser.add_argument("--tests-seconds", type=float, default=8, help="time of the tests that a mutant meets")
    parser.add_argument("--again", action="store_true", help="run again what was not killed")
    options = parser.parse_args()
    KEPT.mkdir(exist_ok=True)
    return {"map": _map, "run": _run, "report": _report}[options.what](options)


def _map(options: argparse.Namespace) -> int:
    cover.record(options.package, runner.directory_of(options.package), _map_of(options.package))
    return 0


def _map_of(package: str) -> Path:
    return KEPT / f"{package}.json"


def _run(options: argparse.Namespace) -> int:
    """Run what has no result yet."""
    known = read_results()
    covered = cover.load(_map_of(options.package))
    until = time.monotonic() + options.seconds
    runner.import_everything(covered)
    for module in runner.modules_of(options.package):
        if options.module not in module:
            continue
        for mutant in _chosen(module, options):
            before = known.get((module, mutant.what))
            if before in _DEAD or (before and not options.again):
                continue
            if time.monotonic() > until:
                return 0
            result = runner.run_mutant(module, mutant, covered, options.tests_seconds)
            with RESULTS.open("a") as file:
                file.write(json.dumps(result.as_dict()) + "\n")
            if result.outcome not in _DEAD:
                print(f"{result.outcome}: {module} {mutant.what}", flush=True)
    return 0


def _chosen(module: str, options: argparse.Namespace) -> list[Mutant]:
    _, tree = runner.source_of(module)
    mutants = mutants_of(tree)
    if options.sample:
        # So that a larger sample holds the smaller one.
        random.Random(f"{options.seed} {module}").shuffle(mutants)
        del mutants[options.sample :]
    return mutants


def _report(options: argparse.Namespace) -> int:
    return write_report(read_results())


def read_results() -> dict[tuple[str, str], str]:
    """Return what became of each mutant so far, by module and change; the newest result counts."""
    if not RESULTS.exists():
        return {}
    rows: list[dict[str, Any]] = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    return {(row["module"], row["what"]): row["outcome"] for row in rows}


if __name__ == "__main__":
    sys.exit(main())
