import { theCore } from "./core/link-core.js";
import { createLink, type LinkOptions } from "./link/link.js";
import { CONNECTING, closeWith, listenTo, OPEN, type WebSocketLike } from "./link/socket.js";
import type { EventMapOf, PubSubEventMap, PubSubEventTarget } from "./types.js";

export type { WebSocketLike } from "./link/socket.js";

/** The bounds of the target. */
export interface WebSocketClientOptions extends LinkOptions {
  /** Whether the hub is told which topics are wanted; `false` for one that sends everything to all. */
  readonly forwardSubscriptions?: boolean;
}

/**
 * The event target of one WebSocket to a hub: what is dispatched goes to the hub, and what the hub sends goes to the
 * listeners. The first listener of a topic subscribes to it there, the last one that goes unsubscribes.
 *
 * - The socket stays yours: open it, close it, and make another one and another target for a new connection. While it
 *   is connecting, subscriptions wait for it, and publishing throws a {@link PubSubError} of code `not_open`.
 * - Your own handlers of the socket keep being called. `binaryType` is set to `"arraybuffer"`, and put back at the end.
 * - When the connection ends, listeners of `close` are told `{ code, reason }` once, subscriptions end, and
 *   `dispatchEvent` returns false. `close()` lets go of the socket and leaves it open.
 * - What the hub lost for you is told to listeners of `gap`; what it refuses, to those of `denied`; what it sends that
 *   is no message, to those of `error`. After 100 of those in 10 s the connection is closed with 1007, after one that
 *   is longer than `maxMessage` with 1009 (4007 and 4009 where the socket refuses these codes, as in browsers).
 * - While more than `maxBufferedAmount` bytes wait in the socket, `dispatchEvent` returns false and an `error` notice
 *   of code `full` is told. So it is for an envelope beyond `maxMessage` or `maxDepth`, which the hub would refuse.
 *
 * A socket that is closing or closed makes a target that has ended.
 *
 * @throws PubSubError `no_wasm` where no WebAssembly may be compiled.
 *
 * @example
 * const socket = new WebSocket("wss://hub.example/");
 * const pubsub = createPubSub<Events>({ eventTarget: createWebSocketClientEventTarget(socket) });
 * for await (const { payload } of pubsub.subscribe("call.responded", "uuid-123")) console.log(payload.output);
 */
export function createWebSocketClientEventTarget<TEventMap extends EventMapOf<TEventMap> = PubSubEventMap>(
  socket: WebSocketLike,
  options: WebSocketClientOptions = {},
): PubSubEventTarget<TEventMap> {
  const { forwardSubscriptions = true } = options;
  const confirms = forwardSubscriptions;
  const link = createLink(
    {
      capabilities: { echo: false, order: "connection", carries: "json", lifetime: "connection", confirms },
      forward: forwardSubscriptions,
    },
    options,
    {
      send: (text) => socket.send(text),
      buffered: () => socket.bufferedAmount ?? 0,
      end(code, reason) {
        release(code !== undefined);
        if (code !== undefined) closeWith(socket, code, reason);
      },
    },
    theCore(),
  );
  const release = listenTo(socket, { open: link.open, message: link.receive, close: link.lost });
  if (socket.readyState === OPEN) link.open();
  else if (socket.readyState !== CONNECTING) link.lost("the socket was closed already");
  return link.target as unknown as PubSubEventTarget<TEventMap>;
}
