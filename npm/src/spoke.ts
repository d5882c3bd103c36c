import { theCore } from "./core/link-core.js";
import { PubSubError } from "./errors.js";
import { createLink, type LinkOptions } from "./link/link.js";
import { CONNECTING, closeWith, listenTo, OPEN, type WebSocketLike } from "./link/socket.js";
import type { EventMapOf, PubSubEventMap, PubSubEventTarget } from "./types.js";

export type { WebSocketLike } from "./link/socket.js";

/** Whether a spoke is connected. */
export type SpokeState =
  | { readonly status: "connecting" }
  | { readonly status: "connected" }
  /** It is not, and tries again after so many milliseconds. */
  | {
      readonly status: "waiting";
      readonly reason: string;
      readonly code?: number;
      readonly retryAfter: number;
    }
  /** For good. */
  | { readonly status: "closed"; readonly reason: string; readonly code?: number };

/** The bounds and times of a spoke; times are in milliseconds. */
export interface SpokeOptions extends LinkOptions {
  /** The subprotocols that are offered, if the spoke makes the sockets itself. */
  readonly protocols?: string | string[];
  /** Whether the hub is told which topics are wanted; `false` for one that sends everything to all. */
  readonly forwardSubscriptions?: boolean;
  /** How long one attempt to connect may take: 10,000 unless given. */
  readonly connectTimeout?: number;
  /**
   * Whether events are taken while there is no connection, up to 4,096 and 4 MiB, and sent on the next. Otherwise
   * `dispatchEvent` returns false meanwhile.
   */
  readonly keepEvents?: boolean;
  /**
   * Whether the way to connect brings fresh credentials each time. Then close code 1008 and the HTTP statuses 401 and
   * 403 (where the socket tells them) are a reason to connect anew; otherwise they are the end.
   */
  readonly renewsCredentials?: boolean;
  /** How often the hub is asked whether it is there (20,000), and how long nothing may come then (8,000). */
  readonly pingInterval?: number;
  readonly pingTimeout?: number;
  /**
   * A wait is random, between nothing and a ceiling that is `first` (500) and doubles with each failure up to `max`
   * (30,000); `later` (5,000) more after close code 1013. A connection that lived for `stableAfter` (10,000) brings
   * back the first.
   */
  readonly backoff?: {
    readonly first?: number;
    readonly max?: number;
    readonly later?: number;
    readonly stableAfter?: number;
  };
  /** Told each new {@link SpokeState}. */
  readonly onState?: ((state: SpokeState) => void) | undefined;
}

/** An event target that outlives its connections. */
export interface SpokeEventTarget<TEventMap extends EventMapOf<TEventMap> = PubSubEventMap>
  extends PubSubEventTarget<TEventMap> {
  readonly state: SpokeState;
  /**
   * Ends it in good order: nothing can be dispatched any more, what was is sent, then a Close with 1000.
   *
   * @returns whether the hub answered that within `patience` (2,000 ms), and so has taken everything; false where there
   * was no connection.
   */
  disconnect(patience?: number): Promise<boolean>;
}

/** Statuses of a refused request that would be the same the next time. */
const FINAL = [400, 401, 403, 405, 426];
const CREDENTIALS = [401, 403];

/**
 * The event target of a hub that outlives its connections: when one is lost it makes the next, and asks anew for all
 * topics that somebody listens to. It is given a URL, or a function that makes a socket, with another address or
 * token each time if need be. Attempts go on without end, with waits that grow and are random.
 *
 * - After an interruption the listeners of `gap`, and streams, are told once the hub has confirmed a topic anew, after
 *   the old connection's last event and ahead of the new one's first: what is then loaded from elsewhere is complete.
 * - Without a connection `dispatchEvent` returns false and a notice `error` of code `disconnected` is told, unless
 *   `keepEvents` is set. An event is sent at most once.
 * - It ends by `close()`, `disconnect()`, or with the close codes 1000, 1002, 1007, 1008, 1009 (or 4000 and so on) from
 *   either side; every other end of a connection is followed by another one. Then listeners of `close` are told.
 * - A wait for the next attempt keeps a process alive, as a socket does; `close()` ends it.
 *
 * Bounds, bad input and overload are those of {@link createWebSocketClientEventTarget}.
 *
 * @throws PubSubError `no_wasm` where no WebAssembly may be compiled, `no_websocket` for a URL where the runtime has no
 * WebSocket; TypeError for a URL that is none.
 *
 * @example
 * const spoke = createSpoke("wss://hub.example/", { onState: ({ status }) => console.log(status) });
 * const pubsub = createPubSub<Events>({ eventTarget: spoke });
 */
export function createSpoke<TEventMap extends EventMapOf<TEventMap> = PubSubEventMap>(
  connect: string | URL | (() => WebSocketLike | Promise<WebSocketLike>),
  options: SpokeOptions = {},
): SpokeEventTarget<TEventMap> {
  const { protocols, forwardSubscriptions = true, connectTimeout = 10_000, onState } = options;
  const { keepEvents = false, renewsCredentials = false } = options;
  const { pingInterval = 20_000, pingTimeout = 8000, backoff = {} } = options;
  const { first = 500, max = 30_000, later = 5000, stableAfter = 10_000 } = backoff;
  const make = typeof connect === "function" ? connect : dialler(connect, protocols);
  let socket: WebSocketLike | undefined;
  let release: ReturnType<typeof listenTo> | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let state: SpokeState = { status: "connecting" };
  /** Counts attempts, so that a socket that comes too late is known. */
  let attempt = 0;
  let left: ((answered: boolean) => void) | undefined;
  let leaving: Promise<boolean> | undefined;

  const enter = (next: SpokeState) => {
    state = next;
    try {
      onState?.(next);
    } catch (error) {
      (options.onError ?? console.error)(error);
    }
  };

  const confirms = forwardSubscriptions;
  const link = createLink(
    {
      capabilities: { echo: false, order: "connection", carries: "json", lifetime: "outlives", confirms },
      forward: forwardSubscriptions,
      outlives: {
        keepEvents,
        renewsCredentials,
        pingInterval,
        pingTimeout,
        backoff: { first, max, later, stableAfter },
      },
    },
    options,
    {
      send: (text) => socket?.send(text),
      buffered: () => socket?.bufferedAmount ?? 0,
      end: (code, reason) => drop(code, reason),
      down(why, retryAfter) {
        timer = setTimeout(tryAgain, retryAfter);
        enter({ status: "waiting", ...why, retryAfter });
      },
      ended(why) {
        clearTimeout(timer);
        attempt++;
        enter({ status: "closed", ...why });
        left?.(why.code === 1000);
      },
    },
    theCore(),
  );

  /** Lets go of the socket there is, and closes it. */
  const drop = (code = 1000, reason = "") => {
    clearTimeout(timer);
    release?.(true);
    if (socket) closeWith(socket, code, reason);
    socket = release = undefined;
  };

  const failed = (error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    const status = Number(/response: (\d{3})/.exec(reason)?.[1]);
    const isFinal = FINAL.includes(status) && !(renewsCredentials && CREDENTIALS.includes(status));
    if (!isFinal) return link.lost(reason);
    drop();
    link.finish({ reason });
  };

  const tryAgain = () => {
    const mine = ++attempt;
    enter({ status: "connecting" });
    if (mine !== attempt) return;
    timer = after(connectTimeout, () => {
      attempt++;
      link.lost(`no connection within ${connectTimeout} ms`);
    });
    const take = (made: WebSocketLike) => {
      if (mine !== attempt) {
        // Nobody wants it any more, nor what it has to say of that.
        made.addEventListener("error" as never, (() => {}) as never);
        return closeWith(made, 1000);
      }
      socket = made;
      const open = () => {
        clearTimeout(timer);
        enter({ status: "connected" });
        link.open();
      };
      let isOpen = false;
      release = listenTo(made, {
        open() {
          isOpen = true;
          open();
        },
        message: link.receive,
        close: (reason, code) => {
          if (mine !== attempt) return;
          if (isOpen) link.lost(reason, code);
          else failed(reason);
        },
      });
      if (made.readyState === OPEN) {
        isOpen = true;
        open();
      } else if (made.readyState !== CONNECTING) link.lost("the socket was closed already");
    };
    const refused = (error: unknown) => {
      if (mine === attempt) failed(error);
    };
    try {
      const made = make();
      if (made instanceof Promise) made.then(take).catch(refused);
      else take(made);
    } catch (error) {
      refused(error);
    }
  };

  const disconnect = (patience = 2000) => {
    if (leaving) return leaving;
    if (state.status !== "connected" || !socket) {
      link.target.close();
      return Promise.resolve(false);
    }
    leaving = new Promise<boolean>((resolve) => (left = resolve));
    link.leave();
    timer = after(patience, () => link.lost("the far side did not answer the close in time"));
    closeWith(socket, 1000);
    return leaving;
  };

  const target = Object.defineProperty(Object.assign(link.target, { disconnect }), "state", {
    get: () => state,
  });
  tryAgain();
  return target as unknown as SpokeEventTarget<TEventMap>;
}

/** A timer that takes a time without end for what it is, and not for none. */
const after = (time: number, then: () => void) => setTimeout(then, Math.min(time, 0x7fffffff));

type SocketClass = new (url: string | URL, protocols?: string | string[]) => WebSocketLike;

/** What makes the sockets of a URL. What cannot be connected to at all is the program's mistake, and not tried. */
function dialler(url: string | URL, protocols?: string | string[]): () => WebSocketLike {
  const { protocol } = new URL(url);
  if (!/^(ws|http)s?:$/.test(protocol))
    throw new TypeError(`a spoke connects to ws: or wss:, not ${protocol}`);
  const { WebSocket } = globalThis as { WebSocket?: SocketClass };
  if (!WebSocket) {
    const message = "this runtime has no WebSocket: give a function that makes one, such as that of npm ws";
    throw new PubSubError("no_websocket", message);
  }
  return () => new WebSocket(url, protocols);
}
