// How a service is reached: one HTTP/2 connection, with a bearer token when one is asked for.
//
// Owns address, TLS and credentials. Everything generated takes the transport that this makes.

import type { Interceptor, Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";

/** How to reach a service. `token` is sent as a bearer token; `tls` holds the options of Node's `tls.connect`. */
export interface ConnectionOptions {
  token?: string;
  tls?: { ca?: string | Buffer; cert?: string | Buffer; key?: string | Buffer };
}

/** Make the transport to a service at "host:port". Nothing is connected before the first call. */
export function connect(address: string, options: ConnectionOptions = {}): Transport {
  const interceptors: Interceptor[] = options.token ? [bearer(options.token)] : [];
  return createGrpcTransport({
    baseUrl: `${options.tls ? "https" : "http"}://${address}`,
    interceptors,
    nodeOptions: options.tls ?? {},
    // A half-open connection is noticed within 15 seconds.
    pingIntervalMs: 10_000,
    pingTimeoutMs: 5_000,
    pingIdleConnection: true,
  });
}

function bearer(token: string): Interceptor {
  return (next) => async (request) => {
    request.header.set("authorization", `Bearer ${token}`);
    return await next(request);
  };
}
