"""`make demo`: one durable run, seen live, through a kill, a retry, a sleep, a person and a refused decision.

Starts a store and a runtime as two processes, audits this Python environment with the workflow of ``audit.py``, kills
the runtime in the middle of the steps, and approves the findings in the last moment before the deadline, while the
runtime cannot see it. Ends with 0 only when the report is the one that plain function calls give and the log proves
the rest (``verdict.py``). Run it as ``python -m examples.audit.demo`` from the top of the repository.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import grpc
from rich.console import Console
from rich.table import Table

from examples.audit import audit as subject
from examples.audit.log_view import LogView
from examples.audit.slow_link import SlowLink
from examples.audit.verdict import Tally, faults, tally
from holdfast import Client
from holdfast.cli.processes import Service
from holdfast.cli.rendering import event_kind, moment
from holdfast.cli.services import runtime_command, store_command
from holdfast.v1 import (
    event_pb2,
    payload_pb2,
    runtime_service_pb2,
    runtime_service_pb2_grpc,
    store_service_pb2,
    store_service_pb2_grpc,
)

FOLDER: Final = Path(".holdfast/demo")
WORKFLOW_FILE: Final = "examples/audit/audit.py"

#: The deadline is short on purpose: a runtime lets go of a run that sleeps for long, and here it shall hold the run.
OPTIONS: Final = subject.Options(pause_seconds=1.0, approval_seconds=1.6)
APPROVAL: Final = subject.Approval(approved=True, approver="a person in a hurry")

#: Long enough for a busy machine, short enough that the kill costs seconds and not a quarter of a minute.
LEASE: Final = "4s"

#: Seconds before the deadline at which the link is held, and after it at which it is released.
HOLD_BEFORE_SECONDS: Final = 0.4
RELEASE_AFTER_SECONDS: Final = 0.6

#: Steps that must have completed before the kill, so that it comes in the middle.
COMPLETED_BEFORE_KILL: Final = 12


class Demo:
    """The stage: a store, a link, a runtime, and what is seen of them."""

    def __init__(self, log: LogView, store: Service, link: SlowLink, errors: Any) -> None:
        self.log = log
        self.store = store
        self._link = link
        self._errors = errors
        self.runtime: Service | None = None

    async def start_runtime(self) -> Service:
        """Start the runtime, at the address it had before if there was one."""
        listen = self.runtime.address if self.runtime else "127.0.0.1:0"
        command = runtime_command([WORKFLOW_FILE], listen=listen, store=self._link.address, options=["--lease", LEASE])
        self.runtime = await Service.start("runtime", command, errors=self._errors)
        return self.runtime

    async def kill_runtime_between_steps(self) -> None:
        """SIGKILL it while attempts are running, and start another one."""
        assert self.runtime is not None
        await self.log.until(lambda events: count(events, "step_completed") >= COMPLETED_BEFORE_KILL)
        await self.runtime.kill()
        self.log.say(f"killed the runtime (SIGKILL, pid {self.runtime.pid}) in the middle of the steps")
        runtime = await self.start_runtime()
        self.log.say(f"started it again (pid {runtime.pid}); it takes the run over when the lease of {LEASE} is up")

    async def approve_in_the_last_moment(self, run_id: str) -> None:
        """Approve before the deadline, unseen by the runtime, which then decides from an old copy of the log.

        1. the link is held: the runtime learns nothing any more; 2. the approval commits at the store; 3. the
        deadline passes, and the runtime writes wait_completed with its old snapshot; 4. the store refuses it;
        5. the link is released; the runtime takes in what it missed and derives the right decision.
        """
        hook_id = await self.log.until(lambda events: newest(events, "hook_created").correlation_id)
        deadline = await self.log.until(approval_deadline)
        await asyncio.sleep(deadline - HOLD_BEFORE_SECONDS - time.time())
        self._link.hold()
        await self._send_approval(run_id, hook_id)
        left_ms = round((deadline - time.time()) * 1000)
        self.log.say(f"approved {left_ms} ms before the deadline; the runtime cannot see it and will decide wrongly")
        await asyncio.sleep(deadline + RELEASE_AFTER_SECONDS - time.time())
        self._link.release()
        self.log.say("the store has refused that decision; the runtime reads what it missed and decides again")

    async def _send_approval(self, run_id: str, hook_id: str) -> None:
        value = payload_pb2.Payload(text=APPROVAL.model_dump_json())
        event = event_pb2.Event(correlation_id=hook_id, hook_received=event_pb2.HookReceived(payload=value))
        async with grpc.aio.insecure_channel(self.store.address) as channel:
            stub: Any = store_service_pb2_grpc.StoreServiceStub(channel)
            await stub.CreateEvent(store_service_pb2.CreateEventRequest(run_id=run_id, event=event))

    async def refusals(self) -> dict[str, int]:
        """Decisions that the store refused since the runtime was started again, by cause."""
        assert self.runtime is not None
        async with grpc.aio.insecure_channel(self.runtime.address) as channel:
            stub: Any = runtime_service_pb2_grpc.RuntimeServiceStub(channel)
            return dict((await stub.GetRuntimeInfo(runtime_service_pb2.GetRuntimeInfoRequest())).refusals)


def count(events: Sequence[event_pb2.Event], kind: str) -> int:
    """Events of a kind."""
    return sum(event_kind(event) == kind for event in events)


def newest(events: Sequence[event_pb2.Event], kind: str) -> event_pb2.Event:
    """The newest event of a kind; an empty event when there is none."""
    return next((event for event in reversed(events) if event_kind(event) == kind), event_pb2.Event())


def approval_deadline(events: Sequence[event_pb2.Event]) -> float | None:
    """When the wait that stands against the open hook fires, in epoch seconds; None before there is one."""
    opened = newest(events, "hook_created").seq
    wait = newest(events, "wait_created")
    is_deadline = opened and wait.seq > opened
    return moment(wait.wait_created.resume_time).timestamp() if is_deadline else None


async def perform(console: Console) -> int:
    """Run the whole story. Returns the exit code."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    database = f"sqlite:///{FOLDER}/holdfast.db"
    with (FOLDER / "services.log").open("wb") as errors, LogView(console) as log:
        store = await Service.start("store", store_command(listen="127.0.0.1:0", database=database), errors=errors)
        async with SlowLink(store.address) as link:
            demo = Demo(log, store, link, errors)
            try:
                run_id, report, refusals = await tell(demo)
            finally:
                link.release()
                if demo.runtime:
                    await demo.runtime.stop()
                await store.stop()
    expected = await asyncio.to_thread(expected_report)
    found = faults(log.events, output=report, expected=expected, refusals=refusals)
    show_end(console, run_id, report, tally(log.events), refusals)
    show_commands(console, database, run_id)
    for fault in found:
        console.print(f"[bold red]wrong:[/] {fault}")
    return 1 if found else 0


async def tell(demo: Demo) -> tuple[str, subject.Report, dict[str, int]]:
    """The story itself: from the start of the run to its result."""
    runtime = await demo.start_runtime()
    demo.log.say(f"store {demo.store.address} (pid {demo.store.pid}), runtime {runtime.address} (pid {runtime.pid})")
    async with Client(runtime.address) as client:
        run = await client.start(subject.audit, OPTIONS)
        async with asyncio.TaskGroup() as group:
            following = group.create_task(demo.log.follow(demo.store.address, run.id))
            await demo.kill_runtime_between_steps()
            await demo.approve_in_the_last_moment(run.id)
            report = await run.result(timeout="30s")
            await following
        return run.id, report, await demo.refusals()


def expected_report() -> subject.Report:
    """The same functions, called without holdfast: what the run must have found."""
    verdicts = [subject.inspect(target) for target in subject.find_targets(OPTIONS.site)]
    return subject.report_on(verdicts, APPROVAL)


def show_end(console: Console, run_id: str, report: subject.Report, counts: Tally, refusals: dict[str, int]) -> None:
    """Print the report and the summary."""
    findings = Table("distribution", "file", "problem", title="Report", title_justify="left")
    for verdict in report.suspicious:
        for finding in verdict.findings[:3]:
            findings.add_row(verdict.distribution, finding.path, finding.problem)
    summary = Table("", "", title="Summary", title_justify="left", show_header=False)
    hashed = f"{report.bytes_hashed / 1e6:.0f} MB in {report.files_checked} files"
    rows = {
        "run": run_id,
        "audited": f"{report.distributions} distributions, {hashed}",
        "findings": sum(len(verdict.findings) for verdict in report.suspicious),
        "approved by": report.approval.approver if report.approval else "nobody",
        "steps": counts.steps,
        "attempts": f"{counts.attempts} ({counts.killed_attempts} cut off by the kill, {counts.retries} retried)",
        "events": counts.events,
        "refusals": ", ".join(f"{cause}: {number}" for cause, number in sorted(refusals.items())) or "none",
        "seconds": f"{counts.seconds:.1f}",
    }
    for name, value in rows.items():
        summary.add_row(name, str(value))
    console.print(*([findings] if report.suspicious else []), summary, sep="\n")


def show_commands(console: Console, database: str, run_id: str) -> None:
    """Print how to look at the run again."""
    console.print("The run is still on disk. Serve it, and look at it from a second terminal:", style="bold")
    for command in (
        f".venv/bin/holdfast dev {WORKFLOW_FILE} --database {database}",
        f".venv/bin/holdfast show {run_id}",
        f".venv/bin/holdfast events {run_id}",
        f"""grpcurl -plaintext -d '{{"run_id": "{run_id}"}}' 127.0.0.1:7701 holdfast.v1.StoreService/ListEvents""",
    ):
        console.print(f"  {command}", soft_wrap=True, highlight=False, markup=False)


if __name__ == "__main__":
    sys.exit(asyncio.run(perform(Console())))
