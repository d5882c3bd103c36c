import { createLink, type LinkOptions } from "./link/link.js";
import { CONNECTING, closeWith, OPEN } from "./link/socket.js";
import type { EventMapOf, PubSubEventMap, PubSubEventTarget } from "./types.js";

/** What is needed of a WebSocket: that of a browser, Node, Deno, Bun, of npm `ws`, or one of your own. */
export interface WebSocketLike {
  readonly readyState: number;
  readonly bufferedAmount?: number;
  binaryType?: string;
  send(data: string): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: string, listener: (event: never) => void): void;
  removeEventListener(type: string, listener: (event: never) => void): void;
}

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
 * @throws PubSubError `no_wasm` where no WebAssembly may be compiled, `closed` if the socket is closing or closed.
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
  const { binaryType } = socket;
  const handlers: Record<string, (event: never) => void> = {
    open: () => link.open(),
    message: ({ data }: { data: unknown }) => link.receive(data),
    close: ({ code, reason }: { code?: number; reason?: unknown }) =>
      link.lost(String(reason || "the connection is closed"), code),
  };
  const link = createLink(
    {
      capabilities: {
        echo: false,
        order: "connection",
        carries: "json",
        lifetime: "connection",
        confirms: forwardSubscriptions,
      },
      forward: forwardSubscriptions,
    },
    options,
    {
      send: (text) => socket.send(text),
      buffered: () => socket.bufferedAmount ?? 0,
      end(code, reason) {
        for (const name in handlers) socket.removeEventListener(name, handlers[name] as never);
        if (binaryType !== undefined) socket.binaryType = binaryType;
        if (code !== undefined) closeWith(socket, code, reason);
      },
    },
  );
  for (const name in handlers) socket.addEventListener(name, handlers[name] as never);
  if (binaryType !== undefined) socket.binaryType = "arraybuffer";
  if (socket.readyState === OPEN) link.open();
  else if (socket.readyState !== CONNECTING) link.lost("the socket was closed already");
  return link.target as unknown as PubSubEventTarget<TEventMap>;
}
