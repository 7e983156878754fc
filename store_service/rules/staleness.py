"""What a refused replay is told: STALE_SNAPSHOT and SNAPSHOT_AHEAD with their detail.

Owns the way from a verdict of ``guard.py`` to a refusal that carries the marker, the head and, when the whole
status stays small enough for a gRPC trailer, the missed events. Never a part of them
(`test_missed_events_come_all_or_none`), and never a reason to resend what was refused: on the extended log the
replay may derive something else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from holdfast.refusal import Refusal
from holdfast.v1 import error_pb2
from store_service import limits
from store_service.engines.contract import Reader
from store_service.rules import delta
from store_service.rules.delta import Head
from store_service.rules.guard import Position, Snapshot, Verdict

#: What the status holds beside the missed events: message, ErrorInfo with its metadata, PreconditionFailure, the other
#: fields of the detail, type URLs. `tests/rules/test_staleness.py` builds the largest status and measures it.
_STATUS_REST_BYTES: Final = 1300
#: How often the rest of the status repeats the run id.
_RUN_ID_REPEATS: Final = 6

Answer = tuple[str, error_pb2.StaleCause.ValueType, str]

#: Verdict → reason, cause, and what the message says of it.
_ANSWERS: Final[Mapping[Verdict, Answer]] = MappingProxyType(
    {
        Verdict.AHEAD: (
            "SNAPSHOT_AHEAD",
            error_pb2.STALE_CAUSE_UNKNOWN_POSITION,
            "is ahead of the log, which ends with {head_seq} at {head_at}: it is of another log; load it again",
        ),
        Verdict.BEHIND_FACT: (
            "STALE_SNAPSHOT",
            error_pb2.STALE_CAUSE_OUT_OF_BAND_EVENT,
            "lacks event {out_of_band_seq} at {out_of_band_at}: load up to {head_seq}, replay, send what follows",
        ),
        Verdict.BEHIND_REPLAY: (
            "STALE_SNAPSHOT",
            error_pb2.STALE_CAUSE_CONCURRENT_REPLAY,
            "lacks event {replay_seq} of another replay: load up to {head_seq}, replay, send what follows",
        ),
    }
)


def missed_bytes_max(run_id: str) -> int:
    """Return how many bytes of missed events fit into a status about this run."""
    return limits.STATUS_BYTES_MAX - _STATUS_REST_BYTES - _RUN_ID_REPEATS * len(run_id.encode())


def refusal(reader: Reader, run_id: str, snapshot: Snapshot, run: Position, verdict: Verdict) -> Refusal:
    """Build the refusal of a snapshot that ``verdict`` found wanting."""
    reason, cause, text = _ANSWERS[verdict]
    numbers = {
        "head_seq": run.head_seq,
        "head_at": run.head_at,
        "out_of_band_at": run.out_of_band_at,
        "out_of_band_seq": run.out_of_band_seq,
        "replay_seq": run.replay_seq,
    }
    given = {
        name: value
        for name, value in (("state_updated_at", snapshot.state_updated_at), ("state_seq", snapshot.state_seq))
        if value is not None
    }
    said = ", ".join(f"{name} {value}" for name, value in given.items())
    return Refusal(
        reason,
        f"the snapshot of run {run_id} ({said}) {text.format(**numbers)}",
        metadata={"run_id": run_id, **given, **numbers},
        detail=_detail(reader, run_id, snapshot, run, verdict, cause),
    )


def _detail(
    reader: Reader,
    run_id: str,
    snapshot: Snapshot,
    run: Position,
    verdict: Verdict,
    cause: error_pb2.StaleCause.ValueType,
) -> error_pb2.StaleSnapshot:
    head = Head(run.head_seq, run.head_at)
    if verdict is Verdict.AHEAD:
        # The caller holds a copy of another log: nothing of this one can be taken for known.
        missed = delta.nothing(run_id, 0, head)
    else:
        after_seq = delta.position_of(reader, run_id, head, snapshot) or 0
        missed = delta.between(reader, run_id, after_seq, head, missed_bytes_max(run_id))
    return error_pb2.StaleSnapshot(
        run_id=run_id,
        cause=cause,
        state_updated_at=snapshot.state_updated_at,
        out_of_band_at=run.out_of_band_at,
        state_seq=snapshot.state_seq,
        required_seq=_REQUIRED[verdict](snapshot, run),
        missed=missed,
    )


def _required_by_guards(snapshot: Snapshot, run: Position) -> int:
    by_replay = 0 if snapshot.state_seq is None else run.replay_seq
    return max(run.out_of_band_seq, by_replay)


#: Verdict → the seq that the snapshot would have had to include.
_REQUIRED: Final[Mapping[Verdict, Callable[[Snapshot, Position], int]]] = MappingProxyType(
    {
        Verdict.AHEAD: lambda snapshot, run: run.head_seq,
        Verdict.BEHIND_FACT: _required_by_guards,
        Verdict.BEHIND_REPLAY: _required_by_guards,
    }
)
