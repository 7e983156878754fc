"""A step worker: runs the step "render" for any runtime, with nothing but the stubs that the contract generates.

    python render_worker.py 127.0.0.1:7702 [SECONDS_A_FRAME]

It polls, works frame by frame with a heartbeat after each, and starts where the attempt before it stopped. A worker
that is killed is noticed after the step's heartbeat_timeout, and the next one goes on. Its results can only be recorded
once: when it was taken for dead and comes back, it hears LEASE_LOST and drops what it did.
"""

from __future__ import annotations

import json
import os
import sys
import time

import grpc
from google.protobuf.duration_pb2 import Duration

from holdfast.v1 import payload_pb2, step_worker_service_pb2, step_worker_service_pb2_grpc

Stub = step_worker_service_pb2_grpc.StepWorkerServiceStub
Task = step_worker_service_pb2.StepTask


def main(address: str, seconds_a_frame: float) -> None:
    """Take tasks for ever."""
    with grpc.insecure_channel(address) as channel:
        stub = Stub(channel)
        print(f"worker {os.getpid()} takes tasks of {address}", flush=True)
        while True:
            try:
                answer = stub.PollStep(
                    step_worker_service_pb2.PollStepRequest(
                        worker_id=f"render:{os.getpid()}",
                        filter=step_worker_service_pb2.StepFilter(step_names=["render"], queue="render"),
                        wait=Duration(seconds=30),
                    ),
                    timeout=35,
                )
                if answer.HasField("task"):
                    work(stub, answer.task, seconds_a_frame)
            except grpc.RpcError as error:
                print(f"{error.code().name}: {error.details()}", flush=True)
                time.sleep(0.2)


def work(stub: Stub, task: Task, seconds_a_frame: float) -> None:
    """Render one film. Raises RpcError when the task is lost, or the runtime is."""
    scene = json.loads(task.input.text)
    first = json.loads(task.last_heartbeat.text)["frame"] if task.HasField("last_heartbeat") else 0
    print(f"attempt {task.attempt} of {scene['name']} begins at frame {first}", flush=True)
    for frame in range(first, scene["frames"]):
        time.sleep(seconds_a_frame)
        details = payload_pb2.Payload(text=json.dumps({"frame": frame + 1}))
        beat = stub.HeartbeatStep(
            step_worker_service_pb2.HeartbeatStepRequest(task_token=task.task_token, details=details)
        )
        if beat.cancel_requested:
            print(f"{scene['name']} is not wanted any more", flush=True)
            return
    film = {"path": f"/films/{scene['name']}", "frames": scene["frames"], "resumed_from": first}
    stub.CompleteStep(
        step_worker_service_pb2.CompleteStepRequest(
            task_token=task.task_token, output=payload_pb2.Payload(text=json.dumps(film))
        )
    )
    print(f"{scene['name']} is done", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 0.1)
