"""The examples on the page about tests pass, in a session of their own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from holdfast import pytest_plugin
from holdfast.testing import Environment, write_history
from tests.testing import workflows_under_test as under_test

pytest_plugins = ["pytester"]

PAGE = Path(__file__).parents[2] / "docs" / "authoring" / "testing.md"


async def test_the_tests_of_the_page_pass(pytester: pytest.Pytester, pytestconfig: pytest.Config) -> None:
    environments, golden = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    async with Environment() as env:
        await env.run(under_test.once, id="run_kept")
        (pytester.path / "histories").mkdir()
        write_history(pytester.path / "histories" / "kept.jsonl", env.history("run_kept"))
    imports = f"import sys; sys.path.append({str(pytestconfig.rootpath)!r})\nimport {under_test.__name__}\n"
    pytester.makepyfile(test_environments=environments, test_golden=imports + golden)
    is_installed = pytestconfig.pluginmanager.has_plugin("holdfast")
    plugin = () if is_installed else ("-p", pytest_plugin.__name__)
    pytester.runpytest_subprocess("--asyncio-mode=auto", "--strict-markers", *plugin).assert_outcomes(passed=4)
