"""What an event says, apart from who said it and when.

Owns the comparison behind `same_content` (the sixth law: told once) and the bytes that a request id stands for.
Ignored are the fields that the store assigns, and occur_time, writer, trace_context and source: a retry comes from
another moment, perhaps from another process and a newer build, and still says the same. Pure. Read ``requests.py``
next.
"""

from __future__ import annotations

from typing import Final

from holdfast.v1 import event_pb2

_CIRCUMSTANCES: Final = (
    "event_id",
    "run_id",
    "seq",
    "type",
    "create_time",
    "occur_time",
    "origin",
    "writer",
    "trace_context",
)


def plain(event: event_pb2.Event) -> event_pb2.Event:
    """Return a copy of an event reduced to what it says."""
    said = event_pb2.Event()
    said.CopyFrom(event)
    for name in _CIRCUMSTANCES:
        said.ClearField(name)
    if said.HasField("step_created"):
        said.step_created.source = ""
    return said


def content(event: event_pb2.Event) -> bytes:
    """Return the bytes of what an event says: equal for equal content within one version of the store."""
    return plain(event).SerializeToString(deterministic=True)


def is_same(asked: event_pb2.Event, recorded: event_pb2.Event) -> bool:
    """Return whether a creation that is asked for says what the recorded creation said.

    A hook that was asked for without a token got one from the store, and one whose token was taken stands in the
    log as a conflict; asking again for either is the same content.
    """
    if recorded.HasField("hook_conflict"):
        return asked.hook_created.token == recorded.hook_conflict.token
    before = plain(recorded)
    if asked.HasField("hook_created") and not asked.hook_created.token:
        before.hook_created.token = ""
    return content(asked) == content(before)
