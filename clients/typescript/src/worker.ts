// A step worker: runs steps for any runtime over one stream, with heartbeats and cancellation.
//
//     const worker = new StepWorker("127.0.0.1:7702", { queue: "render", steps: { render: async (scene, step) => … } });
//     await worker.run(signal);
//
// A task is the worker's and not the stream's: when the stream breaks, the worker connects again and goes on with what it
// has. Aborting `signal` drains: no new tasks, those under way are finished. What the runtime says about lost tasks is
// final, so their steps are aborted and what they return is dropped.

import { hostname } from "node:os";
import { setTimeout as pause } from "node:timers/promises";

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";

import { connect, type ConnectionOptions } from "./connection.js";
import { FailureCategory, FailureSchema } from "./gen/holdfast/v1/payload_pb.js";
import {
  type StepTask,
  StepWorkerService,
  type WorkStepsRequestSchema,
  type WorkStepsResponse,
  type WorkStepsResult,
} from "./gen/holdfast/v1/step_worker_service_pb.js";
import { Outbox } from "./outbox.js";
import { decode, encode } from "./values.js";

type Command = MessageInitShape<typeof WorkStepsRequestSchema>["command"];

/** Milliseconds between two tries to reach a runtime. */
const PAUSE_MS = 200;

/** Heartbeats in the longest silence that a step allows: two may get lost. */
const BEATS = 3;

/** Throw it in a step that must not be tried again. */
export class FatalError extends Error {}

/** What a step can reach while it runs. */
export interface Step {
  runId: string;
  stepId: string;
  attempt: number;
  /** The same for every attempt: what side effects are deduplicated by. */
  idempotencyKey: string;
  /** What an earlier attempt reported last; undefined when there is nothing. */
  lastHeartbeat: unknown;
  /** W3C trace context of the run (`traceparent`, `tracestate`): the parent for a span of the attempt; {} when untraced. */
  traceContext: { [key: string]: string };
  /** Aborted when nobody waits for the step any more, or another worker has it. */
  signal: AbortSignal;
  /** Report progress, for the next attempt should this one die. Signs of life are sent without it, too. */
  heartbeat(details: unknown): void;
}

export type StepFunction = (input: any, step: Step) => Promise<unknown>;

export interface WorkerOptions extends ConnectionOptions {
  queue: string;
  steps: Record<string, StepFunction>;
  /** Steps that run at once. */
  concurrency?: number;
  /** Name of this process, for people. */
  name?: string;
}

/** A task that this worker holds. */
interface Held {
  task: StepTask;
  abort: AbortController;
  details: unknown;
  beating: NodeJS.Timeout;
}

/** A command that nobody has answered yet. */
interface Waiting {
  command: Command;
  told(reason: string, isUnwanted: boolean): void;
}

export class StepWorker {
  private readonly held = new Map<string, Held>();
  private readonly waiting = new Map<bigint, Waiting>();
  private outbox = new Outbox<MessageInitShape<typeof WorkStepsRequestSchema>>();
  private number = 0n;
  private isDraining = false;
  private isLeaving = false;

  constructor(
    private readonly address: string,
    private readonly options: WorkerOptions,
  ) {}

  /** Take and run steps until `signal` is aborted and what was under way is done. Throws when a runtime refuses it. */
  async run(signal: AbortSignal): Promise<void> {
    const stub = createClient(StepWorkerService, connect(this.address, this.options));
    if (signal.aborted) return;
    signal.addEventListener("abort", () => this.drain(), { once: true });
    while (!(this.isDraining && this.held.size === 0)) {
      try {
        this.open();
        for await (const message of stub.workSteps(this.outbox)) this.take(message);
      } catch (error) {
        const code = ConnectError.from(error).code;
        if (code !== Code.Unavailable && code !== Code.Canceled && code !== Code.Aborted) throw error;
      }
      await pause(PAUSE_MS);
    }
  }

  /** Begin a stream: who we are, signs of life for what we hold, and the reports that nobody has answered yet. */
  private open(): void {
    this.outbox = new Outbox();
    this.isLeaving = false;
    const { queue, steps, concurrency = 10, name = `node:${hostname()}:${process.pid}` } = this.options;
    const initialCredit = this.isDraining ? 0 : Math.max(0, concurrency - this.held.size);
    const filter = { queue, stepNames: Object.keys(steps) };
    this.outbox.put({ command: { case: "open", value: { workerId: name, filter, initialCredit } } });
    for (const [commandId, { command }] of this.waiting) {
      if (command?.case === "heartbeat") this.waiting.delete(commandId);
      else this.outbox.put({ commandId, command });
    }
    for (const held of this.held.values()) this.beat(held);
  }

  private drain(): void {
    this.isDraining = true;
    this.outbox.put({ command: { case: "drain", value: {} } });
    this.closeWhenDone();
  }

  private closeWhenDone(): void {
    if ((this.isDraining || this.isLeaving) && this.held.size === 0) this.outbox.close();
  }

  private take(message: WorkStepsResponse): void {
    switch (message.kind.case) {
      case "task":
        void this.work(message.kind.value);
        break;
      case "cancel":
        this.held.get(message.kind.value.taskToken)?.abort.abort(new Error(message.kind.value.reason));
        break;
      case "result":
        this.answer(message.kind.value);
        break;
      case "draining":
        // Finish here; the next stream may lead to another runtime.
        this.isLeaving = true;
        this.closeWhenDone();
        break;
    }
  }

  /** Run one task and report what became of it; the report is sent until it is answered. */
  private async work(task: StepTask): Promise<void> {
    const abort = new AbortController();
    const silenceMs = Number(task.heartbeatTimeout?.seconds ?? 30n) * 1000 + (task.heartbeatTimeout?.nanos ?? 0) / 1e6;
    const held: Held = {
      task,
      abort,
      details: undefined,
      beating: setInterval(() => this.beat(held), Math.max(50, silenceMs / BEATS)),
    };
    this.held.set(task.taskToken, held);
    const command = await this.perform(held);
    clearInterval(held.beating);
    if (!abort.signal.aborted) await this.report(command);
    this.held.delete(task.taskToken);
    if (!this.isDraining) this.outbox.put({ command: { case: "credit", value: { tasks: 1 } } });
    this.closeWhenDone();
  }

  private async perform(held: Held): Promise<Command> {
    const { task, abort } = held;
    const step: Step = {
      runId: task.runId,
      stepId: task.stepId,
      attempt: task.attempt,
      idempotencyKey: `${task.runId}:${task.stepId}`,
      lastHeartbeat: decode(task.lastHeartbeat),
      traceContext: task.traceContext,
      signal: abort.signal,
      heartbeat: (details) => {
        held.details = details;
        this.beat(held);
      },
    };
    try {
      const perform = this.options.steps[task.stepName];
      if (perform === undefined) throw new FatalError(`this worker has no step ${task.stepName}`);
      const output = encode(await perform(decode(task.input), step));
      return { case: "complete", value: { taskToken: task.taskToken, output } };
    } catch (error) {
      return { case: "fail", value: { taskToken: task.taskToken, failure: failureOf(error) } };
    }
  }

  private beat(held: Held): void {
    const details = held.details === undefined ? undefined : encode(held.details);
    const command: Command = { case: "heartbeat", value: { taskToken: held.task.taskToken, details } };
    const commandId = ++this.number;
    // Not kept for a new stream, which begins with a heartbeat of its own.
    this.outbox.put({ commandId, command });
    this.waiting.set(commandId, {
      command,
      told: (reason, isUnwanted) => {
        this.waiting.delete(commandId);
        if (reason === "LEASE_LOST") held.abort.abort(new Error("another worker has the step"));
        if (isUnwanted) held.abort.abort(new Error("nobody waits for the step any more"));
      },
    });
  }

  private answer(result: WorkStepsResult): void {
    this.waiting.get(result.commandId)?.told(result.reason, result.heartbeat?.cancelRequested ?? false);
  }

  /** Send a report until somebody has answered it; a lost task's result is dropped, for another worker has the step. */
  private async report(command: Command): Promise<void> {
    while (true) {
      const commandId = ++this.number;
      const reason = await new Promise<string>((told) => {
        this.waiting.set(commandId, { command, told });
        this.outbox.put({ commandId, command });
      });
      this.waiting.delete(commandId);
      if (reason !== "NOT_READY") {
        if (reason && reason !== "LEASE_LOST") console.error(`a result was refused: ${reason}`);
        return;
      }
      await pause(PAUSE_MS);
    }
  }
}

function failureOf(error: unknown) {
  const known = error instanceof Error ? error : new Error(String(error));
  return create(FailureSchema, {
    type: known.name === "Error" ? known.constructor.name : known.name,
    message: known.message,
    stackTrace: known.stack ?? "",
    nonRetryable: known instanceof FatalError,
    category: FailureCategory.APPLICATION,
  });
}
