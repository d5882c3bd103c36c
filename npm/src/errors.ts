/**
 * What went wrong, for programs:
 * - `reserved`: the type begins with `__`, which is for the adapters' own talk
 * - `bad_topic`: the type is empty, type or id is no string, or an event's name is not `<type>:<id>` of its envelope
 * - `closed`: used after its own `close()`
 * - `overflow`: a subscription that asked for an error lost an event, or too many calls of `next()` wait
 *
 * Of event targets with a far side:
 * - `not_open`: published before the socket was open
 * - `disconnected`: a spoke has no connection now, and keeps no events (a notice; `dispatchEvent` returns false)
 * - `not_json`: a payload that JSON cannot hold
 * - `not_cloneable`: a payload that cannot be posted to a worker
 * - `too_large`, `too_deep`: an envelope beyond the limit was not sent (a notice; `dispatchEvent` returns false)
 * - `full`: more waits to be sent than may (a notice; `dispatchEvent` returns false)
 * - `bad_input`: the far side sent what is no message (a notice)
 * - `unreachable`: no hub with this key answers over iroh
 * - `no_websocket`: a spoke was given a URL, or an endpoint of iroh's is to be made, and this runtime has no WebSocket
 * - `no_worker`: there is no host here to talk to, for this is no worker
 * - `no_wasm`: this runtime, or its policy, lets no WebAssembly be compiled, or the file of a module is not there
 */
export type PubSubErrorCode =
  | "reserved"
  | "bad_topic"
  | "closed"
  | "overflow"
  | "not_open"
  | "disconnected"
  | "not_json"
  | "not_cloneable"
  | "too_large"
  | "too_deep"
  | "full"
  | "bad_input"
  | "unreachable"
  | "no_websocket"
  | "no_worker"
  | "no_wasm";

/** A mistake of the program, or an overflow that it asked to be told of. */
export class PubSubError extends Error {
  readonly code: PubSubErrorCode;
  /** @internal */
  constructor(code: PubSubErrorCode, message: string) {
    super(message);
    this.code = code;
  }
  // Assigned, it would throw where `Error.prototype` is frozen, and the stack would not have it.
  override get name(): string {
    return "PubSubError";
  }
}

/** Refuses what is no type and id of an event. */
export function checkTopic(type: unknown, id: unknown): void {
  if (typeof type !== "string" || !type || typeof id !== "string") {
    throw new PubSubError(
      "bad_topic",
      `type and id must be strings, the type not empty: ${String(type)}, ${String(id)}`,
    );
  }
  if (type.startsWith("__")) {
    throw new PubSubError("reserved", `types with __ are the event targets' own: ${type}`);
  }
}

/** Tells of what must stop nobody: to `onError`, or on the console if there is one. */
export function report(error: unknown, onError?: (error: unknown) => void): void {
  try {
    if (onError) onError(error);
    else console.error("@alkdev/pubsub:", error);
  } catch (another) {
    // Who cannot tell it is told of himself, then of it. A console that cannot is left alone.
    if (onError) for (const one of [another, error]) report(one);
  }
}
