"""The measurements of scale give their figures; at a hundredth of the size, so nothing is said about time."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.scale.__main__ import QUESTIONS, Scale, measure
from tests.support.postgres import PostgresServer

#: How many figures each question gives on PostgreSQL.
COUNTS = {"replicas": 4, "sleeping": 5, "listing": 24, "retaining": 4, "writing": 2}


@pytest.mark.slow
@pytest.mark.parametrize("question", sorted(QUESTIONS))
async def test_each_question_of_scale_is_answered(
    question: str, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    scale = Scale(tmp_path, tmp_path, postgres_server.url(), share=0.001)
    figures = await measure(scale, [question], ["postgresql"])
    assert len(figures) == COUNTS[question]
