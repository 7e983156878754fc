"""holdfast.testing: test workflows without a server, in virtual time, with a replay at every turn.

    async with Environment() as env:
        env.stub(charge, returning="ch_1")
        assert await env.run(checkout, order) == receipt

Owns the list of public names. Read ``environment.py`` first. The pytest fixture `holdfast_env` is in
``holdfast/pytest_plugin.py``.
"""

from __future__ import annotations

from holdfast.testing.client import RunStuck
from holdfast.testing.crashes import CrashMismatch
from holdfast.testing.environment import Environment, History
from holdfast.testing.histories import read_history, replay_history, write_history
from holdfast.testing.stubs import Stub, StubCall

__all__ = [
    "CrashMismatch",
    "Environment",
    "History",
    "RunStuck",
    "Stub",
    "StubCall",
    "read_history",
    "replay_history",
    "write_history",
]
