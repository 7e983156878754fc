// What `import … from "@holdfast/client"` gives. Generated messages and services are under `gen`.

export { Client, RunHandle, type StartOptions, TimedOut } from "./client.js";
export { connect, type ConnectionOptions } from "./connection.js";
export { reasonOf, RunCancelled, RunFailed, staleSnapshotOf } from "./errors.js";
export { FatalError, type Step, type StepFunction, StepWorker, type WorkerOptions } from "./worker.js";
export { decode, encode } from "./values.js";
