"""What the example audits: files that are missing, changed or added are found, and nothing else is."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from examples.audit import audit

FILES = {"pack/__init__.py": b"x = 1\n", "pack/deep/more.py": b"y = 2\n", "single.py": b""}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site-packages directory with one distribution, as an installer writes it."""
    install(tmp_path, "demo-1.0", FILES)
    return tmp_path


def install(site: Path, distribution: str, files: dict[str, bytes]) -> None:
    lines = []
    for name, content in files.items():
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
        lines.append(f"{name},sha256={digest},{len(content)}")
    info = site / f"{distribution}.dist-info"
    info.mkdir()
    (info / "RECORD").write_text("\n".join([*lines, f"{info.name}/RECORD,,", "pack/__pycache__/x.cpython-311.pyc,,"]))


def findings(site: Path) -> list[tuple[str, str]]:
    verdicts = [audit.inspect(target) for target in audit.find_targets(str(site))]
    return [
        (str(Path(finding.path).relative_to(site)), finding.problem)
        for verdict in verdicts
        for finding in verdict.findings
    ]


def test_an_untouched_distribution_has_no_findings(site: Path) -> None:
    assert findings(site) == []


def test_a_changed_file_of_the_same_size_is_found(site: Path) -> None:
    (site / "pack/deep/more.py").write_bytes(b"y = 3\n")
    assert findings(site) == [("pack/deep/more.py", "changed")]


def test_a_missing_file_is_found(site: Path) -> None:
    (site / "single.py").unlink()
    assert findings(site) == [("single.py", "missing")]


def test_an_added_file_is_found_and_compiled_files_are_not(site: Path) -> None:
    (site / "pack/deep/__pycache__").mkdir()
    (site / "pack/deep/__pycache__/more.cpython-311.pyc").write_bytes(b"")
    (site / "pack/evil.py").write_bytes(b"")
    assert findings(site) == [("pack/evil.py", "added")]


def test_files_of_a_distribution_that_shares_the_directory_are_not_added_ones(site: Path) -> None:
    install(site, "other-2.0", {"pack/other.py": b""})
    assert findings(site) == []


def test_bytes_and_files_are_counted(site: Path) -> None:
    (target,) = audit.find_targets(str(site))
    verdict = audit.inspect(target)
    assert verdict.distribution == "demo-1.0"
    assert verdict.files_checked == len(FILES) + 1
    assert verdict.bytes_hashed >= sum(map(len, FILES.values()))
