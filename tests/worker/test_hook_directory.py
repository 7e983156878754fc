"""What a runtime remembers of hooks goes with their runs: it does not grow by what has ended."""

from __future__ import annotations

from holdfast.v1 import event_pb2
from runtime_service.worker.hooks import HookDirectory


def created(run_id: str, token: str) -> event_pb2.Event:
    event = event_pb2.Event(run_id=run_id, correlation_id=f"hook_{token}", type=event_pb2.EVENT_TYPE_HOOK_CREATED)
    event.hook_created.token = token
    return event


def test_the_hooks_of_a_run_are_forgotten_with_its_end() -> None:
    directory = HookDirectory()
    directory.note([created("one", "a"), created("one", "b"), created("other", "c")])
    end = event_pb2.Event(run_id="one", type=event_pb2.EVENT_TYPE_RUN_COMPLETED, run_completed=event_pb2.RunCompleted())
    directory.note([end])
    assert [directory.find(token) is None for token in "abc"] == [True, True, False]


def test_a_token_that_another_run_has_taken_stays_when_the_first_one_ends() -> None:
    directory = HookDirectory()
    directory.note([created("one", "a"), created("other", "a")])
    directory.note([event_pb2.Event(run_id="one", type=event_pb2.EVENT_TYPE_RUN_FAILED)])
    found = directory.find("a")
    assert found is not None and found.run_id == "other"
