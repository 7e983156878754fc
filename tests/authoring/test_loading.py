"""Finding the module that a command line names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from holdfast import LoadFailed
from holdfast.definitions import Registry

APP = """
from holdfast import step, workflow

@step
def charge() -> None: ...

@workflow
async def checkout() -> None: ...
"""


@pytest.fixture(autouse=True)
def unchanged_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_a_file_is_loaded_under_its_stem_and_says_what_it_defines(tmp_path: Path) -> None:
    (tmp_path / "loading_app.py").write_text(APP)
    known = Registry()
    found = known.load(str(tmp_path / "loading_app.py"))
    assert (found.module, found.workflows, found.steps) == (
        "loading_app",
        ("loading_app.checkout",),
        ("loading_app.charge",),
    )
    assert known.workflow("loading_app.checkout") is found.definitions[-1]
    assert known.load(str(tmp_path / "loading_app.py")) == found


def test_a_module_is_found_in_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loading_shop").mkdir()
    (tmp_path / "loading_shop" / "orders.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    assert Registry().load("loading_shop.orders").workflows == ("loading_shop.orders.checkout",)


def test_a_file_next_to_the_loaded_one_can_be_imported(tmp_path: Path) -> None:
    (tmp_path / "loading_neighbour.py").write_text(APP)
    (tmp_path / "loading_main.py").write_text("import loading_neighbour\n")
    assert Registry().load(str(tmp_path / "loading_main.py")).steps == ("loading_neighbour.charge",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("import no_such_thing", r"ModuleNotFoundError: No module named 'no_such_thing' \(.*loading_bad_0.py:1\)"),
        ("x = 1\nraise ValueError('boom')", r"ValueError: boom \(.*loading_bad_1.py:2\)"),
        ("def (", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("x = 1", "defines no workflow and no step"),
    ],
)
def test_what_stops_a_load_is_told_with_file_and_line(
    tmp_path: Path, content: str, said: str, request: pytest.FixtureRequest
) -> None:
    number = next(
        i for i, it in enumerate(("import no", "x = 1\n", "def (", "raise S", "x = 1")) if content.startswith(it)
    )
    file = tmp_path / f"loading_bad_{number}.py"
    file.write_text(content)
    with pytest.raises(LoadFailed, match=said):
        Registry().load(str(file))


@pytest.mark.parametrize("target", ["no/such/file.py", "no_such_module_anywhere", "not a module", "json.py"])
def test_what_cannot_be_found_is_refused_with_what_to_give(target: str) -> None:
    with pytest.raises(LoadFailed, match=r"there is no (file|module)|neither a module name"):
        Registry().load(target)


def test_a_file_whose_name_is_taken_is_refused(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text(APP)
    with pytest.raises(LoadFailed, match="that name is taken by"):
        Registry().load(str(tmp_path / "json.py"))


def test_the_script_that_runs_goes_by_its_stem(tmp_path: Path) -> None:
    script = tmp_path / "loading_script.py"
    script.write_text(
        APP
        + """
class Declined(Exception): ...

if __name__ == "__main__":
    from holdfast.definitions import definition_of
    from holdfast.failures import from_failure, to_failure
    failure = to_failure(Declined("no"))
    print(definition_of(checkout).name, failure.type, isinstance(from_failure(failure), Declined))
"""
    )
    answer = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout.split() == ["loading_script.checkout", "loading_script.Declined", "True"]
