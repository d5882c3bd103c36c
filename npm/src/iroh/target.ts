import { theCore } from "../core/link-core.js";
import { PubSubError } from "../errors.js";
import { createLink, type LinkOptions, type Pings } from "../link/link.js";
import { listenTo } from "../link/socket.js";
import type { EventMapOf, PubSubEventMap, PubSubEventTarget } from "../types.js";
import type { IrohAddress, IrohConnectOptions, IrohEndpoint } from "./endpoint.js";

/** The hub, the way to it, and the bounds and times of the target, which are in milliseconds. */
export interface IrohSpokeOptions
  extends LinkOptions,
    Partial<Pings>,
    Omit<IrohConnectOptions, "maxMessage"> {
  /** By which it is reached. It stays yours. */
  readonly endpoint: Pick<IrohEndpoint, "connect">;
  /** The hub: its ticket, its id, or its id and its relay. */
  readonly hubNodeId: IrohAddress;
  /** Whether the hub is told which topics are wanted; `false` for one that sends everything to all. */
  readonly forwardSubscriptions?: boolean;
}

/**
 * The event target of one connection over iroh to a hub that is known by its key: what is dispatched goes to the hub, and
 * what the hub sends goes to the listeners. Resolves when the connection is there.
 *
 * - The hub may be anywhere: it and the endpoint find each other by a relay, which passes on what it cannot read. Each
 *   knows the other by its key; to the hub, this end is `endpoint.id`, and `direct:<id>` is its own to subscribe to.
 * - It ends with its connection, with the hub's code and words: listeners of `close` are told once, subscriptions end, and
 *   `dispatchEvent` returns false. `createSpoke(() => endpoint.connect(hub))` connects anew.
 * - `close()` says 1000 to the hub and ends the connection. The endpoint is left as it was.
 * - The hub is asked every 20 s whether it is there; where nothing comes for 8 s then, the connection is given up.
 *
 * Bounds, bad input and overload are those of {@link createWebSocketClientEventTarget}. A hub that refuses this endpoint
 * closes the connection: 1008 where the id is not on its list, 1013 where it is full, 1001 where it shuts down.
 *
 * @throws PubSubError (as the promise does) `unreachable` where nothing with this key answers, or what does is no hub;
 * `no_wasm` where no WebAssembly may be compiled.
 *
 * @example
 * const endpoint = await createIrohEndpoint({ relay: "https://relay.example/" });
 * const eventTarget = await createIrohSpokeEventTarget({ endpoint, hubNodeId: ticket });
 * const pubsub = createPubSub<Events>({ eventTarget });
 */
export async function createIrohSpokeEventTarget<TEventMap extends EventMapOf<TEventMap> = PubSubEventMap>(
  options: IrohSpokeOptions,
): Promise<PubSubEventTarget<TEventMap>> {
  const { endpoint, hubNodeId, alpn, maxMessage, connectTimeout, forwardSubscriptions = true } = options;
  const { pingInterval = 20_000, pingTimeout = 8000 } = options;
  const confirms = forwardSubscriptions;
  const link = createLink(
    {
      capabilities: { echo: false, order: "connection", carries: "json", lifetime: "connection", confirms },
      forward: forwardSubscriptions,
      pings: { pingInterval, pingTimeout },
    },
    options,
    {
      send: (text) => socket.send(text),
      buffered: () => socket.bufferedAmount ?? 0,
      end(code, reason) {
        release();
        socket.close(code, reason);
      },
    },
    theCore(),
  );
  const socket = endpoint.connect(hubNodeId, { alpn, maxMessage, connectTimeout });
  let isOpen = false;
  let release: () => void = () => undefined;
  await new Promise<void>((resolve, reject) => {
    release = listenTo(socket, {
      open() {
        isOpen = true;
        link.open();
        resolve();
      },
      message: link.receive,
      close(reason, code) {
        link.lost(reason, code);
        if (!isOpen) reject(new PubSubError("unreachable", reason));
      },
    });
  });
  return link.target as unknown as PubSubEventTarget<TEventMap>;
}
