"""Files are looked at twenty times a second here, so that tests of rotation need not wait."""

from __future__ import annotations

import pytest

from holdfast.security import files, guard


@pytest.fixture(autouse=True)
def _quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(guard, "LOOK_SECONDS", 0.05)
