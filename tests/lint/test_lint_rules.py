"""Every rule finds what it is for and leaves alone what is fine; what the guard of the runtime refuses, lint finds."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from holdfast.lint import RULES, Finding, lint_file, lint_source
from runtime_service.replay.guarded_names import CLASS_METHODS, FUNCTIONS, UNLESS_GIVEN

HEAD = """
import asyncio, collections, concurrent.futures, contextlib, datetime, os, pathlib, random, secrets, socket
import subprocess, threading, time, uuid
import holdfast
from datetime import datetime as when
from time import time as clock
from holdfast import sleep, step, workflow

NAMES = {"b", "a"}
CONSTANT = ["a", "b"]
seen = []
total = 0

def note(x):
    seen.append(x)

@step
async def charge(x): ...

@step
def send(x): ...

async def helper(): ...

"""


def lint_body(body: str, decorator: str = "@workflow", kind: str = "async def") -> list[Finding]:
    """Lint a workflow (or step) with this body."""
    begin = f"{HEAD.strip()}\n\n{decorator}\n{kind} body(x, items: set[str] = set()):\n"
    return lint_source(begin + textwrap.indent(body, "    ") + "\n", "flow.py")


BROKEN: list[tuple[str, str]] = [
    ("clock", "time.time()"),
    ("clock", "clock()"),
    ("clock", "time.strftime('%H')"),
    ("clock", "x = datetime.datetime.now()"),
    ("clock", "x = when.utcnow()"),
    ("clock", "datetime.date.today()"),
    ("random", "random.random()"),
    ("random", "random.Random().random()"),
    ("random", "secrets.token_hex()"),
    ("random", "os.urandom(8)"),
    ("uuid", "await charge(str(uuid.uuid4()))"),
    ("files", "open('x')"),
    ("files", "with open('x') as f: pass"),
    ("files", "pathlib.Path('x').read_text()"),
    ("files", "os.listdir('.')"),
    ("sockets", "socket.create_connection(('a', 1))"),
    ("sockets", "await asyncio.open_connection('a', 1)"),
    ("threads", "threading.Thread(target=print)"),
    ("threads", "await asyncio.to_thread(print)"),
    ("threads", "await asyncio.get_running_loop().run_in_executor(None, print)"),
    ("subprocess", "subprocess.run(['ls'])"),
    ("subprocess", "os.system('ls')"),
    ("subprocess", "await asyncio.create_subprocess_exec('ls')"),
    ("environment", "os.getenv('A')"),
    ("environment", "await charge(os.environ['A'])"),
    ("unordered", "for n in NAMES:\n    await charge(n)"),
    ("unordered", "for n in items:\n    await charge(n)"),
    ("unordered", "await asyncio.gather(*(charge(n) for n in {1, 2}))"),
    ("unordered", "await asyncio.gather(*[charge(n) for n in set(x)])"),
    ("unordered", "await charge(list(set(x)))"),
    ("unordered", "todo = set(x) | {1}\nfor n in todo:\n    await charge(n)"),
    ("unordered", "found = []\nfor n in set(x):\n    found.append(n)"),
    ("swallowed-cancel", "try:\n    await charge(x)\nexcept asyncio.CancelledError:\n    pass"),
    ("swallowed-cancel", "try:\n    await charge(x)\nexcept:\n    return 1"),
    ("swallowed-cancel", "try:\n    await charge(x)\nexcept (ValueError, BaseException):\n    pass"),
    ("swallowed-cancel", "with contextlib.suppress(asyncio.CancelledError):\n    await charge(x)"),
    ("swallowed-cancel", "try:\n    await charge(x)\nfinally:\n    return 1"),
    ("mutable-global", "global total\ntotal = 1"),
    ("mutable-global", "seen.append(x)"),
    ("mutable-global", "seen[0] = x"),
    ("mutable-global", "await charge(len(seen))"),
    ("blocking", "time.sleep(1)"),
    ("blocking", "input()"),
    ("unawaited", "charge(x)"),
    ("unawaited", "send(x)"),
    ("unawaited", "sleep(1)"),
    ("unawaited", "asyncio.sleep(1)"),
    ("unawaited", "helper()"),
    ("unawaited", "receipt = charge(x)\nreturn 1"),
    ("unawaited", "return charge(x)"),
]

FINE: list[str] = [
    "await charge(holdfast.now())",
    "random.Random(7).random()",
    "time.strftime('%H', time.gmtime(x))",
    "holdfast.random().random()",
    "uuid.uuid5(uuid.NAMESPACE_DNS, 'a')",
    "datetime.timedelta(seconds=1)",
    "time = x\ntime.time()",
    "for n in sorted(NAMES):\n    await charge(n)",
    "if x in NAMES:\n    await charge(x)",
    "return sum(n for n in {1, 2})",
    "return {n + 1 for n in {1, 2}}",
    "for n in CONSTANT:\n    await charge(n)",
    "done, pending = await asyncio.wait([asyncio.create_task(helper())])\nfor task in done:\n    await charge(1)",
    "try:\n    await charge(x)\nexcept asyncio.CancelledError:\n    await charge(0)\n    raise",
    "try:\n    await charge(x)\nexcept Exception:\n    pass",
    "try:\n    len(x)\nexcept BaseException:\n    pass",
    "seen = []\nseen.append(x)",
    "return len(CONSTANT)",
    "task = asyncio.create_task(charge(x))\nawait task",
    "first = charge(x)\nsecond = charge(x)\nawait asyncio.gather(first, second)",
    "return await charge(x)",
    "@step\nasync def inner():\n    return time.time()\nawait inner()",
]


@pytest.mark.parametrize(("rule", "body"), BROKEN, ids=[f"{rule}: {body}" for rule, body in BROKEN])
def test_a_rule_finds_what_it_is_for(rule: str, body: str) -> None:
    assert {it.rule for it in lint_body(body)} == {rule}


@pytest.mark.parametrize("body", FINE)
def test_what_is_fine_is_left_alone(body: str) -> None:
    assert lint_body(body) == []


def test_every_rule_has_a_body_that_breaks_it() -> None:
    assert {rule for rule, _ in BROKEN} == set(RULES)


def test_a_finding_names_its_place_the_workflow_and_the_way_out() -> None:
    found = lint_body("x = 1\n\nawait charge(time.time())")[0]
    line = len(HEAD.strip().splitlines()) + 6
    assert found.text == (
        f"flow.py:{line}:18: clock: time.time() in workflow body would not be the same in a replay: use holdfast.now()"
    )


def test_what_a_workflow_calls_in_its_module_is_its_body_too() -> None:
    source = "\n".join(
        [
            "import time",
            "from holdfast import workflow",
            "def deep(): return time.time()",
            "def unused(): return time.time()",
            "async def helper(): return deep()",
            "@workflow",
            "async def flow(): return await helper()",
        ]
    )
    assert [(it.line, it.rule) for it in lint_source(source, "flow.py")] == [(3, "clock")]


@pytest.mark.parametrize("decorator", ["@holdfast.workflow", "@holdfast.workflow(name='a')", "@workflow(name='a')"])
def test_every_form_of_the_decorator_is_known(decorator: str) -> None:
    assert [it.rule for it in lint_body("time.time()", decorator)] == ["clock"]


def test_a_step_may_reach_outside_but_not_block_the_loop_when_it_is_async() -> None:
    free = "open('x')\ntime.time()\nos.getenv('A')\nrandom.random()"
    assert lint_body(free, "@step") == []
    assert [it.rule for it in lint_body("time.sleep(1)", "@step")] == ["blocking"]
    assert [it.rule for it in lint_body("subprocess.run(['ls'])", "@step(name='a')")] == ["blocking"]
    assert lint_body("time.sleep(1)\nsubprocess.run(['ls'])", "@step", kind="def") == []
    assert lint_body("send(x)", "@step") == [], "a plain step in a step is a plain call"
    assert [it.rule for it in lint_body("charge(x)", "@step")] == ["unawaited"]


def test_other_functions_are_nobody_s_business() -> None:
    assert lint_source("import time\nasync def f():\n    time.sleep(1)\n", "f.py") == []


def test_a_finding_can_be_ignored_by_its_rule_or_altogether() -> None:
    assert lint_body("time.time()  # holdfast: ignore[clock]") == []
    assert lint_body("time.time()  # because: holdfast: ignore") != [], "a comment of its own words is no order"
    assert lint_body("time.time()  # holdfast: ignore") == []
    assert lint_body("open(str(time.time()))  # holdfast: ignore[clock, files]") == []
    assert [it.rule for it in lint_body("time.time()  # holdfast: ignore[files]")] == ["clock"]
    assert [it.rule for it in lint_body("print('# holdfast: ignore', time.time())")] == ["clock"]


def test_an_unknown_rule_in_a_comment_is_a_finding() -> None:
    found = lint_body("x = 1  # holdfast: ignore[clocks]")
    assert [it.rule for it in found] == ["unknown-rule"]
    assert "'clocks'" in found[0].message


def test_a_file_that_cannot_be_parsed_is_a_finding(tmp_path: Path) -> None:
    assert [it.rule for it in lint_source("def (:\n", "f.py")] == ["syntax"]
    (tmp_path / "f.py").write_bytes(b"x = '\xff'\n")
    assert [it.rule for it in lint_file(tmp_path / "f.py")] == ["syntax"]


def test_steps_of_a_module_beside_it_are_known(tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text("from holdfast import step\n@step\nasync def charge(): ...\ndef plain(): ...\n")
    head = "from holdfast import workflow\nfrom steps import charge, plain\n"
    flow = f"{head}@workflow\nasync def f():\n    charge()\n    plain()\n"
    (tmp_path / "flow.py").write_text(flow)
    assert [(it.line, it.rule) for it in lint_file(tmp_path / "flow.py")] == [(5, "unawaited")]


def test_whatever_the_guard_of_the_runtime_refuses_by_name_lint_finds() -> None:
    missed = []
    for modules in (FUNCTIONS, CLASS_METHODS, UNLESS_GIVEN):
        for module, names in modules.items():
            for name in names:
                call = f"{module}.{name}()"
                if name.startswith("_") or call in ("threading.Thread.start()", "random.Random.seed()"):
                    continue  # private, or a method of an object; making the object is what lint sees
                source = f"import {module}\nfrom holdfast import workflow\n@workflow\nasync def f():\n    {call}\n"
                missed += [] if lint_source(source, "f.py") else [call]
    assert missed == []


def test_every_rule_is_explained() -> None:
    page = (Path(__file__).parents[2] / "docs/authoring/lint.md").read_text()
    assert [rule for rule in RULES if f"`{rule}`" not in page] == []


def test_our_own_examples_are_clean() -> None:
    folder = Path(__file__).parents[2] / "examples"
    assert [it.text for path in sorted(folder.rglob("*.py")) for it in lint_file(path)] == []
