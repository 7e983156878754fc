"""Which tests run which lines, and how long each test takes: so that a mutant meets only the tests that can see it.

Owns the map, which is made once by a run of the suite under `coverage` and kept in a file. Lines that only an import
runs (tables, definitions) are seen by whoever runs a line of the module, or by everybody. Must be made anew when code
or tests change much; a map that is a little old costs kills, never wrong ones.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import coverage
import pytest

#: Package under test → the tests that see it in this process, without those that take as long as many mutants.
TESTS: Final = {
    "store_service.rules": (
        "tests/rules",
        "tests/queue",
        "tests/checkers",
        "tests/streams",
        "tests/store_api/test_create_answers.py",
        "tests/store_api/test_every_error.py",
        "tests/store_api/test_watch.py",
        "--deselect=tests/rules/test_guard_is_exact.py::test_the_guard_is_exact_over_all_small_logs",
        "--deselect=tests/rules/test_model.py",
        "--deselect=tests/queue/test_delivery.py",
        "--deselect=tests/rules/test_payloads.py::test_a_cursor_reads_back_for_its_own_run_only",
    ),
    "runtime_service.replay": (
        "tests/replay",
        "tests/authoring/test_primitives.py",
        "tests/authoring/test_calling_steps.py",
        "tests/authoring/test_hook_handles.py",
        "tests/changing/test_check.py",
        "tests/composition",
        "tests/tracing/test_telemetry_of_bodies.py",
        "tests/tracing/test_spans.py",
        "tests/changing/test_patched.py",
        "tests/worker",
        "tests/simulation",
        "--deselect=tests/replay/test_replay_eviction.py::test_evicted_instances_are_freed",
    ),
}


@dataclass(frozen=True, slots=True)
class CoverMap:
    """``lines``: module → line → tests. ``seconds``: test → how long it took."""

    lines: dict[str, dict[str, list[str]]]
    seconds: dict[str, float]

    def tests_of(self, module: str, line: int, seconds_max: float) -> list[str]:
        """Return the tests that can see a change of the line, the fastest first, as many as fit into the time."""
        lines = self.lines.get(module, {})
        seeing = lines.get(str(line)) or sorted({it for tests in lines.values() for it in tests}) or list(self.seconds)
        chosen: list[str] = []
        left = seconds_max
        for test in sorted(seeing, key=lambda it: self.seconds.get(it, 1.0)):
            left -= self.seconds.get(test, 1.0)
            if left < 0 and chosen:
                break
            chosen.append(test)
        return chosen


class Recorder:
    """A plugin of pytest: tells `coverage` which test runs, and notes the time of each that passes."""

    def __init__(self, cover: coverage.Coverage) -> None:
        self._cover = cover
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: set[str] = set()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._cover.switch_context(item.nodeid)
        yield
        self._cover.switch_context("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration
        if report.outcome != "passed":
            self.failed.add(report.nodeid)


def record(package: str, directory: Path, path: Path) -> CoverMap:
    """Run the tests of a package, and write and return the map of its modules."""
    cover = coverage.Coverage(data_file=None, source=[str(directory)], config_file=False)
    cover.start()
    recorder = Recorder(cover)
    pytest.main(
        ["-q", "-m", "not slow", "-k", "not postgres", "-p", "no:cacheprovider", *TESTS[package]], plugins=[recorder]
    )
    cover.stop()
    data = cover.get_data()
    lines: dict[str, dict[str, list[str]]] = {}
    for file in data.measured_files():
        by_line: Any = data.contexts_by_lineno(file)
        lines[f"{package}.{Path(file).stem}"] = {
            str(line): sorted(it for it in contexts if it and it not in recorder.failed)
            for line, contexts in by_line.items()
        }
    found = CoverMap(lines, dict(recorder.seconds))
    path.write_text(json.dumps({"lines": found.lines, "seconds": found.seconds}))
    return found


def load(path: Path) -> CoverMap:
    """Read a map."""
    kept = json.loads(path.read_text())
    return CoverMap(kept["lines"], kept["seconds"])


def only(tests: Sequence[str]) -> CoverMap:
    """Return a map in which every line is seen by these tests and no others."""
    return CoverMap({}, dict.fromkeys(tests, 0.0))
