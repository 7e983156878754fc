"""Mutants that are the same program, each with the reason.

Owns the list. An entry is a judgement made by reading the code, one by one; a mutant belongs here only when no caller
can tell it from the original. What no test has noticed yet is a survivor and stays one. An entry whose mutant is killed
after all is wrong, and the report says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: Module, and the change as the report names it → why nobody can tell.
EQUIVALENT: Final[Mapping[tuple[str, str], str]] = {
    ("runtime_service.replay.life", "Life.settle: return False as None"): "asked for its truth only",
    (
        "runtime_service.replay.loop",
        "ReplayLoop._entered: without _swap_current_task(outer_loop, outer_task)",
    ): "Python 3.11 has no such function, so nothing was set aside",
    ("runtime_service.replay.loop", "ReplayLoop.is_closed: return False as None"): "asyncio asks for its truth only",
    (
        "runtime_service.replay.loop",
        "ReplayLoop.next_number: 1 as 2",
    ): "numbers have to differ and to follow from the log, by whatever step",
    ("store_service.rules.audit", "_entities_of: 1 as 2"): "a limit above what there can be",
    (
        "store_service.rules.delta",
        "between: count * _EVENT_BYTES_MIN > bytes_max with GtE",
    ): "saves a read that would come to the same: a frame is added to each event",
    ("store_service.rules.draft", "_entity_in_work: 0 as 1"): "an engine keeps what the first put of an entity said",
    ("store_service.rules.leases", "shorten_impossible: 0 as 1"): "a message that is leased has a time",
    ("store_service.rules.payloads", "_number: 1 as 2"): "only the sign of it counts",
    (
        "store_service.rules.payloads",
        "_number: math.copysign(1, number) > 0 with GtE",
    ): "what copysign gives is never 0",
    (
        "store_service.rules.reading",
        "_rows: 1 as 2 (no. 2)",
    ): "how many rows are fetched at a time; the page is the same",
    (
        "store_service.rules.reading",
        "_rows: not fetched without not",
    ): "how many rows are fetched at a time; the page is the same",
    (
        "store_service.rules.reading",
        "_rows: size + 1 with Sub",
    ): "how many rows are fetched at a time; no body is of one byte",
    ("store_service.rules.streams", "_new_stream: False turned"): "the same unit sets it before anybody sees it",
    (
        "store_service.rules.tail",
        "_rows_that_fit: (bytes_max - size) * count with FloorDiv",
    ): "how many rows are fetched at a time; the size ends the portion",
}
