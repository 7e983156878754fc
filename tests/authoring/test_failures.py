"""Exceptions through the log and back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from holdfast import FatalError, HookConflict, RemoteError, RetryableError, StepFailed, StepTimeout
from holdfast.failures import from_failure, to_failure
from holdfast.limits import CAUSES_MAX, FAILURE_MESSAGE_BYTES_MAX, FAILURE_TRACEBACK_BYTES_MAX
from holdfast.v1 import payload_pb2


class CardDeclined(Exception):
    class ForGood(Exception):
        pass


class NeedsMore(Exception):
    def __init__(self, message: str, code: int) -> None:
        super().__init__(f"{message} ({code})")


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def there_and_back(error: BaseException) -> BaseException:
    return from_failure(payload_pb2.Failure.FromString(to_failure(error).SerializeToString()))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad"),
        KeyError("k"),
        OSError(2, "gone"),
        CardDeclined("no money", 42),
        CardDeclined.ForGood("stolen"),
        StepFailed("charge", "step_charge#1", 4, "no money"),
        StepTimeout("heartbeat"),
        HookConflict("order:1", "run_2"),
        FatalError("never"),
        RetryableError("busy"),
        TimeoutError(),
    ],
    ids=repr,
)
def test_an_exception_comes_back_as_what_it_was(error: BaseException) -> None:
    came = there_and_back(raised(error))
    assert type(came) is type(error)
    assert (came.args, str(came)) == (error.args, str(error))


def test_the_fields_of_our_errors_come_back() -> None:
    came = there_and_back(StepFailed("charge", "step_charge#1", 4, "no money"))
    assert isinstance(came, StepFailed)
    assert (came.step_name, came.step_id, came.attempts) == ("charge", "step_charge#1", 4)


@pytest.mark.parametrize(
    "error",
    [NeedsMore("no", 3), ValueError(object()), ValueError((1, 2))],
    ids=lambda it: type(it).__name__,
)
def test_what_cannot_be_rebuilt_comes_back_as_remote_error_with_type_message_and_traceback(
    error: BaseException,
) -> None:
    came = there_and_back(raised(error))
    assert isinstance(came, RemoteError)
    assert came.type.rpartition(".")[2] == type(error).__name__
    assert "test_failures.py" in came.traceback
    assert came.message


def test_a_class_that_is_not_here_stays_told_over_any_number_of_crossings() -> None:
    failure = payload_pb2.Failure(type="payments.NoSuchModule.Declined", message="no", stack_trace="at line 3")
    first = from_failure(failure)
    again = there_and_back(first)
    for came in (first, again):
        assert isinstance(came, RemoteError)
        assert (came.type, came.message, came.traceback) == (failure.type, "no", "at line 3")


def test_a_name_that_is_no_exception_is_not_called() -> None:
    failure = payload_pb2.Failure(type="subprocess.Popen", message="x", details=payload_pb2.Payload(text='["true"]'))
    assert isinstance(from_failure(failure), RemoteError)
    assert isinstance(from_failure(payload_pb2.Failure(type="print", message="x")), RemoteError)


def test_the_chain_of_causes_is_kept_and_bounded() -> None:
    error: BaseException = ValueError("0")
    for number in range(1, 50):
        error = raised_from(ValueError(str(number)), error)
    came: BaseException | None = there_and_back(error)
    depth = 0
    while came is not None:
        assert str(came) == str(49 - depth)
        came, depth = came.__cause__, depth + 1
    assert depth == CAUSES_MAX + 1


def raised_from(error: BaseException, cause: BaseException) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


def test_a_cause_that_leads_back_to_itself_ends() -> None:
    one, two = ValueError("1"), ValueError("2")
    one.__cause__, two.__cause__ = two, one
    assert str(there_and_back(one).__cause__) == "2"


def test_a_group_tells_the_first_of_its_exceptions() -> None:
    came = there_and_back(ExceptionGroup("two", [CardDeclined("no"), ValueError("x")]))
    assert isinstance(came, RemoteError)
    assert isinstance(came.__cause__, CardDeclined)


def test_sizes_are_bounded_and_the_innermost_frames_are_kept() -> None:
    def deep(level: int) -> None:
        if level == 0:
            raise ValueError("é" * 100_000)
        [deep(level - 1) for _ in (0,)]

    with pytest.raises(ValueError) as caught:
        deep(80)
    failure = to_failure(caught.value)
    assert len(failure.message.encode()) <= FAILURE_MESSAGE_BYTES_MAX
    assert len(failure.stack_trace.encode()) <= FAILURE_TRACEBACK_BYTES_MAX
    assert failure.stack_trace.rstrip().endswith('raise ValueError("é" * 100_000)')
    assert not failure.HasField("details")


def test_where_it_was_raised_first_survives_a_second_crossing() -> None:
    first = to_failure(raised(CardDeclined("no")))
    second = to_failure(raised(from_failure(first)))
    assert "raise error" in first.stack_trace
    assert second.stack_trace == first.stack_trace
    assert any(first.stack_trace.strip() in note for note in from_failure(second).__notes__)


def test_a_failure_says_who_is_to_blame_and_whether_a_retry_can_help() -> None:
    assert to_failure(FatalError("x")).non_retryable
    assert not to_failure(ValueError("x")).non_retryable
    assert to_failure(ValueError("x")).category == payload_pb2.FAILURE_CATEGORY_APPLICATION
    timeout = to_failure(StepTimeout("total"), category=payload_pb2.FAILURE_CATEGORY_TIMEOUT)
    assert timeout.category == payload_pb2.FAILURE_CATEGORY_TIMEOUT
    assert timeout.type == "holdfast.StepTimeout"


def test_details_are_the_arguments_as_json() -> None:
    failure: Any = to_failure(CardDeclined("no money", 42))
    assert json.loads(failure.details.text) == ["no money", 42]


def test_an_exception_that_cannot_be_shown_is_still_reported() -> None:
    assert to_failure(Unprintable()).message == "<Unprintable that cannot be shown>"


def test_lone_surrogates_in_a_message_do_not_break_the_report() -> None:
    assert to_failure(ValueError("\ud800")).message == "?"
