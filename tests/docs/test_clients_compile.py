"""What the page on clients shows in other languages compiles, wherever their compilers are; CI installs none for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.compile_clients import NEEDED, OLDER, compile_snippet, missing


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("language", NEEDED)
def test_what_the_page_shows_compiles(language: str, tmp_path: Path) -> None:
    if absent := missing(language):
        pytest.skip(f"not on this machine: {', '.join(absent)}")
    compile_snippet(language, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(bool(missing("go")), reason="no compiler for Go on this machine")
def test_a_snippet_with_a_field_that_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OLDER, "WorkerId:", "WorkerName:")
    with pytest.raises(RuntimeError, match="WorkerName"):
        compile_snippet("go", tmp_path)
