// A client of a runtime: starts runs, waits for them, follows them, sends them values, stops them.
//
// Waiting and following survive restarts of both services: a call that finds nobody is made again, and a stream goes on
// from its last cursor. Everything else is the generated service, at `client.runtime`.

import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";

import { type Client as Stub, Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";

import { connect, type ConnectionOptions } from "./connection.js";
import { RunCancelled, RunFailed } from "./errors.js";
import { type Run, RunStatus } from "./gen/holdfast/v1/entity_pb.js";
import type { Event } from "./gen/holdfast/v1/event_pb.js";
import { RunConflictPolicy, RuntimeService } from "./gen/holdfast/v1/runtime_service_pb.js";
import { decode, encode, encodeArguments } from "./values.js";

/** Milliseconds between two tries to reach a service that is away. */
const PAUSE_MS = 200;

/** `id` is chosen by the service when absent; with `useExisting` a run that has the id is taken as it is. */
export interface StartOptions {
  id?: string;
  attributes?: Record<string, string>;
  useExisting?: boolean;
}

/** Thrown by `result` when the time is over and the run goes on. */
export class TimedOut extends Error {}

export class Client {
  readonly transport: Transport;
  readonly runtime: Stub<typeof RuntimeService>;

  constructor(address: string, options: ConnectionOptions = {}) {
    this.transport = connect(address, options);
    this.runtime = createClient(RuntimeService, this.transport);
  }

  /** Start a run of a workflow by name. Made again after a lost reply, it starts nothing twice. */
  async start(workflow: string, args: readonly unknown[] = [], options: StartOptions = {}): Promise<RunHandle> {
    const request = {
      workflowName: workflow,
      input: encodeArguments(args),
      runId: options.id ?? "",
      requestId: randomUUID(),
      attributes: options.attributes ?? {},
      conflictPolicy: options.useExisting ? RunConflictPolicy.USE_EXISTING : RunConflictPolicy.FAIL,
    };
    const answer = await patiently(() => this.runtime.startRun(request));
    return this.run(answer.run?.runId ?? "");
  }

  /** A handle on a run that exists. */
  run(runId: string): RunHandle {
    return new RunHandle(this, runId);
  }

  /** Send a value to the open hook of a token. It is delivered once, however often the call had to be made. */
  async resume(token: string, value: unknown, requestId: string = randomUUID()): Promise<void> {
    const request = { target: { case: "token" as const, value: token }, payload: encode(value), requestId };
    await patiently(() => this.runtime.resumeHook(request));
  }
}

export class RunHandle {
  constructor(
    private readonly client: Client,
    readonly id: string,
  ) {}

  /** Wait for the end and return the result. Throws RunFailed, RunCancelled, and TimedOut after `timeoutMs`. */
  async result(timeoutMs = Number.POSITIVE_INFINITY): Promise<unknown> {
    const until = Date.now() + timeoutMs;
    while (true) {
      const left = Math.min(30_000, until - Date.now());
      if (left <= 0) throw new TimedOut(`run ${this.id} has not ended after ${timeoutMs} ms`);
      const timeout = { seconds: BigInt(Math.floor(left / 1000)), nanos: (Math.floor(left) % 1000) * 1_000_000 };
      const answer = await patiently(() => this.client.runtime.awaitRun({ runId: this.id, timeout }));
      if (answer.done && answer.run) return outcomeOf(answer.run);
    }
  }

  /** Ask the run to stop; with `force` end it at once. False when it had ended before. */
  async cancel(reason = "", force = false): Promise<boolean> {
    return (await this.client.runtime.cancelRun({ runId: this.id, reason, force })).cancelled;
  }

  /** Follow the run's events from the first one on, live, each once; ends with the run. */
  async *events(): AsyncGenerator<Event> {
    let cursor = "";
    while (true) {
      try {
        for await (const message of this.client.runtime.watchRun({ runId: this.id, cursor })) {
          cursor = message.cursor || cursor;
          if (message.kind.case === "event") yield message.kind.value;
          if (message.kind.case === "ended") return;
        }
      } catch (error) {
        if (!isAway(error)) throw error;
      }
      await pause(PAUSE_MS);
    }
  }
}

function outcomeOf(run: Run): unknown {
  if (run.status === RunStatus.FAILED) throw new RunFailed(run.runId, run.failure);
  if (run.status === RunStatus.CANCELLED) throw new RunCancelled(run.runId, run.cancelReason);
  return decode(run.output);
}

/** Make a call again for as long as nobody is there to answer it. */
async function patiently<Answer>(call: () => Promise<Answer>): Promise<Answer> {
  while (true) {
    try {
      return await call();
    } catch (error) {
      if (!isAway(error)) throw error;
    }
    await pause(PAUSE_MS);
  }
}

function isAway(error: unknown): boolean {
  return ConnectError.from(error).code === Code.Unavailable;
}
