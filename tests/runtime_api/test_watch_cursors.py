"""The cursor of WatchRun: where a caller that broke off inside a batch goes on."""

from __future__ import annotations

from runtime_service.api.cursors import WatchPosition


def test_a_caller_that_broke_off_inside_a_batch_sees_no_event_twice_and_misses_none() -> None:
    first = WatchPosition.read("")
    first.reach("abc")
    assert [seq for seq in (4, 5) if first.take(seq)] == [4, 5]
    again = WatchPosition.read(first.cursor)
    assert again.store_cursor == "abc"
    assert [seq for seq in (4, 5, 6, 7) if again.take(seq)] == [6, 7]


def test_at_the_end_of_a_batch_the_cursor_is_that_of_the_store() -> None:
    position = WatchPosition.read("")
    position.take(1)
    position.reach("abc")
    assert position.cursor == "abc"


def test_a_break_in_the_very_first_batch_resumes_from_the_beginning() -> None:
    position = WatchPosition.read("")
    position.take(1)
    again = WatchPosition.read(position.cursor)
    assert again.store_cursor == ""
    assert not again.take(1)
    assert again.take(2)


def test_a_message_without_a_cursor_moves_nothing_back() -> None:
    position = WatchPosition.read("abc~7")
    position.reach("")
    assert position.cursor == "abc~7"


def test_what_is_not_ours_is_left_to_the_store_to_judge() -> None:
    assert WatchPosition.read("what~ever").store_cursor == "what~ever"
