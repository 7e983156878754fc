"""The pytest plugin, in a session of its own: `holdfast_env` and its marker."""

from __future__ import annotations

import pytest

from holdfast import pytest_plugin

pytest_plugins = ["pytester"]

_TESTS = """
import pytest
from datetime import UTC, datetime
from tests.testing import workflows_under_test as under_test

async def test_the_fixture_is_an_open_environment(holdfast_env):
    assert await holdfast_env.run(under_test.cleaned_up) == "slept"

@pytest.mark.holdfast(crash="everywhere", start_time=datetime(2026, 1, 1, tzinfo=UTC))
async def test_the_marker_gives_options(holdfast_env):
    assert holdfast_env.now == datetime(2026, 1, 1, tzinfo=UTC)
    assert await holdfast_env.run(under_test.once) == "a:done"
"""


def test_the_fixture_needs_no_more_than_its_name(
    pytester: pytest.Pytester, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(pytestconfig.rootpath))
    pytester.makepyfile(_TESTS)
    is_installed = pytestconfig.pluginmanager.has_plugin("holdfast")
    plugin = () if is_installed else ("-p", pytest_plugin.__name__)
    arguments = ("--asyncio-mode=auto", "--strict-markers", *plugin)
    pytester.runpytest_subprocess(*arguments).assert_outcomes(passed=2)
