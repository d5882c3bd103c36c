import { PubSubError, report } from "./errors.js";
import { createHub, type Member } from "./hub/hub.js";
import type { HubOptions, HubTarget, Spoke } from "./hub/types.js";
import { CONNECTING, closeWith, listenTo, OPEN, type WebSocketLike } from "./link/socket.js";
import type { EventMapOf, Notices, PubSubEventMap } from "./types.js";

export type { DenyReason, HubOptions, HubTarget, Spoke, SpokeEvent } from "./hub/types.js";

/**
 * What is needed of a WebSocket at the server's end: that of npm `ws`, of `Deno.upgradeWebSocket`, of Bun, or one of your
 * own. Without `addEventListener` (Bun), its messages and its end are handed to the spoke by the program.
 */
export interface ServerWebSocketLike {
  readonly readyState: number;
  readonly bufferedAmount?: number;
  /** Bun's name for it. */
  getBufferedAmount?(): number;
  binaryType?: string | undefined;
  send(data: string): unknown;
  close(code?: number, reason?: string): void;
  addEventListener?(...args: never[]): void;
  removeEventListener?(...args: never[]): void;
}

const isListenable = (socket: ServerWebSocketLike): socket is WebSocketLike =>
  typeof socket.addEventListener === "function";

/** The bounds of the target, and the program's say in it. */
export interface WebSocketServerOptions<
  TEventMap extends EventMapOf<TEventMap> = PubSubEventMap,
  TSocket extends ServerWebSocketLike = ServerWebSocketLike,
> extends HubOptions<TEventMap> {
  /** A connection is there and open. Listeners added to the spoke here hear its first event. */
  readonly onConnection?: (spoke: Spoke<TEventMap>, socket: TSocket) => void;
  /** A connection is gone, for whatever reason; told once for each that `onConnection` was told of. */
  readonly onDisconnection?: (spoke: Spoke<TEventMap>, reason: Notices["close"]) => void;
}

/** The target of a server's WebSockets. */
export interface WebSocketServerEventTarget<
  TEventMap extends EventMapOf<TEventMap> = PubSubEventMap,
  TSocket extends ServerWebSocketLike = ServerWebSocketLike,
> extends HubTarget<TEventMap> {
  /**
   * Takes a socket in: one that is open, or one that is still connecting, which counts from then on and is told to
   * `onConnection` when it is open. One that is in already is not taken twice.
   *
   * @returns its spoke. undefined if it is closing or closed, if there are `maxLinks` already (it is closed with 1013), or
   * after `drain()` (1001).
   * @throws PubSubError `closed` after `close()`.
   */
  addConnection(socket: TSocket, options?: { readonly identity?: string }): Spoke<TEventMap> | undefined;
  /** Lets go of a socket, which is left open. What is no connection (any more) is none: nothing happens. */
  removeConnection(connection: TSocket | Spoke<TEventMap>): void;
}

/**
 * The event target of a server with many WebSockets: what is dispatched goes to the spokes that subscribed to its topic,
 * and what spokes send goes to its listeners. It relays nothing between spokes: that is one listener that dispatches.
 *
 * - The program has the sockets: it accepts, authenticates and pings them, sets their `maxPayload`, and hands each one to
 *   `addConnection`. `close()` and `removeConnection` take the target's handlers off, put `binaryType` back, and leave them
 *   open; nothing is sent by the target afterwards.
 * - An event that a spoke sends is heard by the listeners of that spoke, then by those of the target, which find the sender
 *   in `event.spoke`. Who may subscribe and publish says `authorise`; without it all may, but for `direct:<identity>`.
 * - Nothing is queued here: what is sent is in the socket before the call returns. A spoke in whose socket more than
 *   `maxBufferedAmount` bytes wait after a send is told to `onBackpressure`, then closed with 1013: it is too slow, and the
 *   others are not held up.
 * - A message that is no envelope is dropped, counted by reason in `stats()`, and told as an `error` notice, to the listeners
 *   of the spoke and of the target. After 100 in 10 s the connection is closed with 1007, after one longer than
 *   `maxMessage` with 1009. Where a socket refuses these codes, as Deno's does, with 4013, 4007, 4009.
 * - `dispatchEvent` returns true if the event was taken, also if nobody wanted it; false, with an `error` notice, for an
 *   envelope beyond `maxMessage` or `maxDepth`. It throws for what is no event and no JSON.
 *
 * @throws PubSubError `no_wasm` where no WebAssembly may be compiled. RangeError for a bound that is none.
 *
 * @example
 * // Node, with npm `ws`
 * const target = createWebSocketServerEventTarget<Events>({ maxBufferedAmount: 1 << 20 });
 * const server = new WebSocketServer({ port: 8080, maxPayload: 65_536 });
 * server.on("connection", (socket) => target.addConnection(socket));
 * target.addEventListener("chat:lobby", (event) => target.dispatchEvent(new CustomEvent("chat:lobby", event)));
 *
 * @example
 * // Bun
 * Bun.serve<{ spoke?: Spoke }>({
 *   fetch: (request, server) => (server.upgrade(request, { data: {} }) ? undefined : new Response("", { status: 426 })),
 *   websocket: {
 *     maxPayloadLength: 65_536,
 *     open: (socket) => void (socket.data.spoke = target.addConnection(socket)),
 *     message: (socket, message) => socket.data.spoke?.message(message),
 *     close: (socket, code, reason) => socket.data.spoke?.closed(code, reason),
 *   },
 * });
 *
 * @example
 * // Deno
 * Deno.serve((request) => {
 *   const { socket, response } = Deno.upgradeWebSocket(request);
 *   target.addConnection(socket);
 *   return response;
 * });
 */
export function createWebSocketServerEventTarget<
  TEventMap extends EventMapOf<TEventMap> = PubSubEventMap,
  TSocket extends ServerWebSocketLike = ServerWebSocketLike,
>(options: WebSocketServerOptions<TEventMap, TSocket> = {}): WebSocketServerEventTarget<TEventMap, TSocket> {
  const given = options as unknown as WebSocketServerOptions;
  const { onConnection, onDisconnection, onError } = given;
  const hub = createHub(given);
  const bySocket = new Map<ServerWebSocketLike, Spoke>();
  const sockets = new Map<object, ServerWebSocketLike>();
  let closed = false;

  const refuse = (socket: ServerWebSocketLike, code: number, reason: string) => {
    try {
      closeWith(socket, code, reason);
    } catch (error) {
      report(error, onError);
    }
    return undefined;
  };

  const addConnection = (socket: ServerWebSocketLike, { identity }: { readonly identity?: string } = {}) => {
    if (closed) throw new PubSubError("closed", "the event target is closed");
    const known = bySocket.get(socket);
    if (known) return known;
    if (socket.readyState !== OPEN && socket.readyState !== CONNECTING) return undefined;
    if (hub.isDraining()) return refuse(socket, 1001, "the hub shuts down");

    const found = hub.connect(
      {
        // Bun says 0 where it dropped the message.
        send: (text) => socket.send(text) !== 0,
        buffered: () => socket.bufferedAmount ?? socket.getBufferedAmount?.() ?? 0,
        end(code, reason) {
          bySocket.delete(socket);
          sockets.delete(member.spoke);
          release?.(code !== undefined);
          if (code !== undefined) closeWith(socket, code, reason);
        },
      },
      identity,
      (spoke) => onConnection?.(spoke, socket),
      (spoke, reason) => onDisconnection?.(spoke, reason),
    );
    if (!found) return refuse(socket, 1013, "there are as many connections as there may be");
    const member: Member = found;
    const { spoke } = member;
    bySocket.set(socket, spoke);
    sockets.set(spoke, socket);
    const release = isListenable(socket)
      ? listenTo(socket, {
          open: member.open,
          message: spoke.message,
          close: (reason, code) => spoke.closed(code, reason),
          error: member.failed,
        })
      : undefined;
    if (socket.readyState === OPEN) member.open();
    return spoke;
  };

  const target: WebSocketServerEventTarget = Object.assign(hub.target, {
    addConnection,
    removeConnection(connection: ServerWebSocketLike | Spoke) {
      const socket = sockets.get(connection) ?? (connection as ServerWebSocketLike);
      bySocket.get(socket)?.close();
    },
  });
  const { close } = target;
  target.close = () => {
    closed = true;
    close();
  };
  return target as unknown as WebSocketServerEventTarget<TEventMap, TSocket>;
}
