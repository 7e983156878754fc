"""What a worker can be told: sizes, waits and modes, each with its unit and its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """Options of one worker.

    ``replay_always`` drops the live instance after every write, so that each turn is a replay from the
    start: slower, and a proof that live instances are only an optimisation.
    """

    #: Name of this process, unique among the runtimes of a store.
    runtime_id: str

    #: Step attempts that run at once in this process.
    concurrency: int = 100

    #: Runs held at once. Holding costs memory only; waiting runs are let go.
    holds_max: int = 1_000

    #: Length of a lease. Recovery after a crash takes at most this and a second.
    lease_ms: int = 15_000

    #: How long a run with nothing to do stays held for a timer or a value that may come at once.
    linger_ms: int = 1_000

    #: Live instances kept after their run was let go, of logs that long. A run that sleeps takes up 30 KB while it is
    #: kept; the log has to be read again in any case, and replaying 32 events takes half a millisecond.
    cached_runs_max: int = 1_000
    cached_events_min: int = 32

    #: Pause before a blocked run is tried again: doubled each time, up to this.
    blocked_delay_ms_max: int = 10_000

    #: Replays after a refusal before the run goes back to the queue.
    rederive_max: int = 2

    #: Seconds that running attempts get when the process drains.
    drain_seconds: float = 10.0

    #: Where webhooks of the runs taken up here are reached, without a slash at the end; "" is nowhere.
    public_url: str = ""

    #: Step queues whose tasks run here; "*" is every queue of the steps that are registered here.
    queues: tuple[str, ...] = ()

    #: Whether steps with a queue of their own are handed out as tasks; else they run here like all others.
    hands_out_steps: bool = True

    replay_always: bool = False
