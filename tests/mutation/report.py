"""The report of mutation testing, docs/mutation.md: figures by draw and module, and every survivor by name.

Owns the page. A survivor that is listed in ``equivalent.py`` is the same program; every other one is a test that is
missing, or one that the time of a mutant's tests had no room for, and counts as not killed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from tests.mutation.draws import Draw, Key, kept_draws, still_there
from tests.mutation.equivalent import EQUIVALENT
from tests.mutation.operators import mutants_of
from tests.mutation.results import is_dead, outcomes
from tests.mutation.runner import modules_of, source_of

PAGE: Final = Path("docs/mutation.md")
OPENING: Final = Path(__file__).with_name("opening.md")

Outcomes = Mapping[Key, str]


def write_report() -> int:
    """Write docs/mutation.md from what is known."""
    draws = kept_draws()
    first, now = outcomes(first=True), outcomes()
    lines = [*_of_draws(draws, first, now)]
    for package in sorted({it.package for it in draws}):
        lines += _of_package(package, [it for it in draws if it.package == package], now)
    PAGE.write_text(OPENING.read_text() + "\n".join(lines))
    print(f"{PAGE} is written: {len(now)} mutants; {_said_wrongly(now)}")
    return 0


def _of_draws(draws: list[Draw], first: Outcomes, now: Outcomes) -> Iterator[str]:
    yield "| Package | Seed | At commit | Drawn | Run | Killed when drawn | Killed now | The same program | Gone |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for draw in draws:
        gone = {(module, what) for module, what, mutant in still_there(draw) if mutant is None}
        run = [key for key in draw.chosen if key in first]
        at_first = _share([first[key] for key in run if key not in EQUIVALENT])
        there = [key for key in run if key not in gone]
        at_last = _share([now[key] for key in there if key not in EQUIVALENT])
        equal = sum(key in EQUIVALENT for key in there)
        yield (
            f"| `{draw.package}` | {draw.seed} | {draw.commit} | {len(draw.chosen)} of {draw.of} | {len(run)}"
            f" | {at_first} | {at_last} | {equal} | {len(gone)} |"
        )
    yield ""


def _share(found: list[str]) -> str:
    dead = sum(map(is_dead, found))
    return f"{dead} of {len(found)}: **{dead / max(1, len(found)):.1%}**"


def _of_package(package: str, draws: list[Draw], now: Outcomes) -> Iterator[str]:
    there = ((module, what) for it in draws for module, what, mutant in still_there(it) if mutant is not None)
    keys = sorted({key for key in there if key in now})
    yield f"## `{package}`"
    yield ""
    yield "| Module | Mutants | Run | Killed | The same program |"
    yield "|---|---|---|---|---|"
    for module in modules_of(package):
        own = [key for key in keys if key[0] == module]
        dead = sum(is_dead(now.get(key, "unseen")) for key in own)
        equal = sum(key in EQUIVALENT for key in own)
        mutants = len(mutants_of(source_of(module)[1]))
        if mutants:
            yield f"| `{_name(module)}` | {mutants} | {len(own)} | {dead} | {equal} |"
    yield ""
    yield from _listed("Not killed:", [_shown(key) for key in keys if _is_survivor(key, now)])
    yield from _listed("The same program:", [f"{_shown(key)}: {EQUIVALENT[key]}" for key in keys if key in EQUIVALENT])


def _listed(heading: str, items: list[str]) -> Iterator[str]:
    if items:
        yield heading
        yield ""
        yield from (f"* {it}" for it in items)
        yield ""


def _is_survivor(key: Key, now: Outcomes) -> bool:
    return key not in EQUIVALENT and not is_dead(now.get(key, "unseen"))


def _shown(key: Key) -> str:
    scope, _, change = key[1].partition(": ")
    return f"`{_name(key[0])}` {f'`{scope}`' if scope else 'at the top'}: `` {change} ``"


def _name(module: str) -> str:
    return module.rpartition(".")[2]


def _said_wrongly(now: Outcomes) -> str:
    wrong = [_shown(key) for key in EQUIVALENT if is_dead(now.get(key, "unseen"))]
    return f"killed although listed as the same program: {wrong}" if wrong else "no equivalent was killed"
