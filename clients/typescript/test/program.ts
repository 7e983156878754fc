// Everything that the client and the worker promise, against real services; prints one JSON object for the test that runs it.
//
//     node dist/test/program.js RUNTIME STORE

import { createClient } from "@connectrpc/connect";

import { StoreService } from "../src/gen/holdfast/v1/store_service_pb.js";
import { Client, connect, FatalError, reasonOf, RunCancelled, RunFailed, staleSnapshotOf, StepWorker } from "../src/index.js";

const [runtimeAddress = "", storeAddress = ""] = process.argv.slice(2);
const told: Record<string, unknown> = {};
const client = new Client(runtimeAddress);

/** Settled by the step "node.hang" when it begins, and when it is told to stop. */
const hanging = withResolvers<string>();
const stopped = withResolvers<string>();

const worker = new StepWorker(runtimeAddress, {
  queue: "node",
  name: "typescript-test",
  steps: {
    "node.render": async (scene: { name: string; frames: number }, step) => {
      for (let frame = 1; frame <= scene.frames; frame++) {
        step.heartbeat({ frame });
        await new Promise((resolve) => setTimeout(resolve, 30));
        if (step.attempt === 1 && frame === 3) throw new Error("out of memory");
      }
      const resumed = step.lastHeartbeat as { frame: number } | undefined;
      return { path: `/films/${scene.name}`, resumedFrom: resumed?.frame ?? 0 };
    },
    "node.refuse": async () => {
      throw new FatalError("not for me");
    },
    "node.hang": async (_input: unknown, step) => {
      hanging.resolve(step.idempotencyKey);
      await new Promise<void>((resolve) => step.signal.addEventListener("abort", () => resolve()));
      stopped.resolve(String(step.signal.reason?.message));
    },
  },
});

const leaving = new AbortController();
const working = worker.run(leaving.signal);

// A run whose step this process serves: it fails once, and the second attempt knows how far the first one came.
const film = await client.start("node.film", ["dune", 4], { attributes: { by: "typescript" } });
const kinds: string[] = [];
const following = (async () => {
  for await (const event of film.events()) kinds.push(event.attributes.case ?? "");
})();
told["film"] = await film.result(20_000);
await following;
told["kinds"] = kinds;

// A failure that says that it is final.
try {
  await (await client.start("node.refused")).result(20_000);
} catch (error) {
  told["refused"] = error instanceof RunFailed ? error.failure?.cause?.type : String(error);
}

// A value for a hook.
const approval = await client.start("node.approval", ["order:ts"]);
for await (const event of approval.events()) if (event.attributes.case === "hookCreated") break;
await client.resume("order:ts", { approved: true, by: "Ada" });
told["approval"] = await approval.result(20_000);

// Cancelling the run reaches the step.
const hung = await client.start("node.hanging");
await hanging.promise;
await hung.cancel("enough");
told["stopped"] = await stopped.promise;
try {
  await hung.result(20_000);
} catch (error) {
  told["cancelled"] = error instanceof RunCancelled ? error.reason : String(error);
}

// A decision from an old copy of a log is refused, with what it had not seen.
const store = createClient(StoreService, connect(storeAddress));
const runId = "by-typescript";
const write = (correlationId: string, attributes: object, stateUpdatedAt?: bigint) =>
  store.createEvent({ runId, event: { correlationId, attributes: attributes as never }, stateUpdatedAt });
await write("", { case: "runCreated", value: { workflowName: "by-hand" } });
await write("", { case: "runStarted", value: {} });
await write("hook_1", { case: "hookCreated", value: { token: "by-typescript" } });
const { stateUpdatedAt } = await store.listEvents({ runId });
await write("hook_1", { case: "hookReceived", value: { payload: { body: { case: "text", value: '"yes"' } } } });
try {
  await write("", { case: "runCompleted", value: {} }, stateUpdatedAt);
} catch (error) {
  const stale = staleSnapshotOf(error);
  told["stale"] = {
    reason: reasonOf(error),
    isBehindMarker: stale !== undefined && stateUpdatedAt !== undefined && stale.outOfBandAt > stateUpdatedAt,
    missed: stale?.missed?.events.map((event) => event.attributes.case),
  };
}

leaving.abort();
await working;
console.log(JSON.stringify(told));
process.exit(0);

function withResolvers<Value>() {
  let resolve!: (value: Value) => void;
  const promise = new Promise<Value>((settle) => (resolve = settle));
  return { promise, resolve };
}
