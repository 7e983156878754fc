// What a refusal says: the reason of the contract, and its typed detail.
//
// Owns the reading of ConnectError. Codes are too few to react to; reasons are a closed list (protos/holdfast/v1/error.proto).

import { ConnectError } from "@connectrpc/connect";

import { ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { type StaleSnapshot, StaleSnapshotSchema } from "./gen/holdfast/v1/error_pb.js";
import type { Failure } from "./gen/holdfast/v1/payload_pb.js";

/** The reason of a refused call, for instance "STALE_SNAPSHOT" or "LEASE_LOST"; "" for an error of another kind. */
export function reasonOf(error: unknown): string {
  const [info] = ConnectError.from(error).findDetails(ErrorInfoSchema);
  return info?.domain === "holdfast" ? info.reason : "";
}

/** What a refused decision had not seen: the run's marker, and the missed events when they fit. Undefined otherwise. */
export function staleSnapshotOf(error: unknown): StaleSnapshot | undefined {
  return ConnectError.from(error).findDetails(StaleSnapshotSchema)[0];
}

/** A run that ended by an error; `failure` is as recorded. */
export class RunFailed extends Error {
  constructor(
    readonly runId: string,
    readonly failure: Failure | undefined,
  ) {
    super(`run ${runId} failed: ${failure?.type}: ${failure?.message}`);
  }
}

/** A run that was cancelled. */
export class RunCancelled extends Error {
  constructor(
    readonly runId: string,
    readonly reason: string,
  ) {
    super(`run ${runId} was cancelled: ${reason}`);
  }
}
