"""Safeguards of what is stored: nothing lost, nothing changed, one process.

Owns their switches and the tests that must fail without them. A switch puts something harmless in the place of the
safeguard, in a process that dies with it. Read ``safeguards.py`` for the whole table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.refusing.safeguard import Safeguard, nothing


def _dense_deltas() -> None:
    from store_service.rules import delta, stored

    delta.require_dense = nothing
    stored.require_next = nothing
    stored.require_chain = nothing


def _checksum_of_an_event() -> None:
    from store_service import checksum

    checksum.is_sound = lambda found, at, body: True


def _chain_of_checksums() -> None:
    from store_service import checksum

    checksum.are_neighbours = lambda before, after: True


def _head_of_the_chain() -> None:
    from store_service.rules import stored

    stored.require_head = nothing


def _checksums_of_rows() -> None:
    from store_service.rules import soundness

    soundness.is_sound = lambda row: True
    soundness.require_sound_request = nothing
    soundness.require_sound_chunks = nothing


def _one_process_owns_the_file() -> None:
    import fcntl

    fcntl.flock = nothing


_RULES: Final = "tests/rules"

#: Name of a safeguard → what is known of it.
ROWS: Final[Mapping[str, Safeguard]] = {
    "dense logs": Safeguard(
        "a log with a hole is an error and never a guess",
        _dense_deltas,
        (
            f"{_RULES}/test_append.py::test_a_log_with_a_gap_is_an_error_and_never_a_guess",
            f"{_RULES}/test_reading.py::test_a_reader_never_gets_a_log_with_a_hole",
        ),
    ),
    "checksum": Safeguard(
        "an event that is not what was written is never read",
        _checksum_of_an_event,
        (f"{_RULES}/test_checksums.py::test_no_read_gives_an_event_that_is_not_what_was_written",),
    ),
    "chain": Safeguard(
        "an event of another log in its place is found",
        _chain_of_checksums,
        (f"{_RULES}/test_checksums.py::test_an_event_of_another_log_in_its_place_is_found",),
    ),
    "head of the chain": Safeguard(
        "another newest event than the run knows is found",
        _head_of_the_chain,
        (f"{_RULES}/test_checksums.py::test_another_newest_event_than_the_run_knows_is_found",),
    ),
    "checksums of rows": Safeguard(
        "a chunk, message or remembered request that is not what was written is never taken for it",
        _checksums_of_rows,
        (
            f"{_RULES}/test_soundness.py::test_no_reader_gets_a_chunk_that_is_not_what_was_written",
            f"{_RULES}/test_soundness.py::test_a_message_that_is_not_what_was_sent_is_set_aside_and_the_queue_goes_on",
            f"{_RULES}/test_soundness.py::test_a_repeat_never_gets_another_answer_than_the_first",
        ),
    ),
    "owner of the file": Safeguard(
        "one process owns the database",
        _one_process_owns_the_file,
        ("tests/conformance/test_sqlite_file.py::test_a_second_engine_is_refused_through_a_symbolic_link_too",),
    ),
}
