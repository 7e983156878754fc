// Values as payloads, and back: JSON text, as every other language reads and writes it.

import { create } from "@bufbuild/protobuf";

import { type Payload, PayloadSchema } from "./gen/holdfast/v1/payload_pb.js";

/** Encode a value. `undefined` is no value at all, which is not the same as null. */
export function encode(value: unknown, metadata: Record<string, string> = {}): Payload {
  const text = JSON.stringify(value);
  if (text === undefined) return create(PayloadSchema, { metadata });
  return create(PayloadSchema, { body: { case: "text", value: text }, metadata });
}

/** Encode the arguments of a workflow: positions, told apart from a single value that is a list. */
export function encodeArguments(values: readonly unknown[]): Payload {
  return encode(values, { args: "positional" });
}

/** Decode a value; undefined for none. Throws for one under a codec, which needs that codec first. */
export function decode(payload: Payload | undefined): unknown {
  if (payload === undefined || payload.body.case === undefined) return undefined;
  if (payload.contentEncoding) throw new Error(`the value is under the codec ${payload.contentEncoding}`);
  if (payload.body.case === "data") return payload.body.value;
  if (payload.body.case === "text") return JSON.parse(payload.body.value);
  throw new Error("the value came in a form that was not asked for");
}
