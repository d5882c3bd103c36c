import { PubSubError } from "../errors.js";
import { bound } from "../link/message.js";
import type { WebSocketLike } from "../link/socket.js";
import { theModule } from "./module.js";
import { createSocket } from "./socket.js";
import { patient, type WebSocketClass } from "./web-socket.js";

/** A hub: a ticket, as the hub program prints it; an id; or one of them and the relay at which it is. */
export type IrohAddress = string | { readonly id: string; readonly relay?: string | URL };

/** What an endpoint is made of. */
export interface IrohEndpointOptions {
  /**
   * The URLs of the relays at which it can be found itself, and where it looks for hubs of which it has the id alone. A
   * ticket names the hub's own relay, by which that is reached in any case.
   */
  readonly relay?: string | URL | readonly (string | URL)[] | undefined;
  /** 32 bytes, which make it the same endpoint each time. A new key unless given. */
  readonly secretKey?: Uint8Array | undefined;
  /**
   * Where the WebAssembly module is, the package's file `iroh.wasm`: its URL, its bytes, a `Response` with them, a compiled
   * module, or a promise of these. Beside this file unless given. The first endpoint decides for all.
   */
  readonly wasm?: string | object | undefined;
  /** What makes the sockets to relays: the runtime's own unless given, or that of npm `ws` where there is none. */
  readonly WebSocket?: WebSocketClass | undefined;
}

/** What a connection may be told. */
export interface IrohConnectOptions {
  /** What both ends ask for: `alkpubsub/1` unless given. */
  readonly alpn?: string | undefined;
  /** Bytes of a message that the hub may send: 65,536 unless given. One that is longer ends the connection with 1009. */
  readonly maxMessage?: number | undefined;
  /** How long it may take, in milliseconds: 10,000 unless given. */
  readonly connectTimeout?: number | undefined;
}

/** An endpoint of iroh's: a key, and the way to others by relays. */
export interface IrohEndpoint {
  /** Its public key, which is who it is to a hub: 64 hexadecimal digits. */
  readonly id: string;
  /** Its secret key, to be kept where nobody else reads it. */
  readonly secretKey: Uint8Array;
  /**
   * A connection to a hub as a socket, such as {@link createSpoke} is to be given for each attempt. Messages come as bytes;
   * codes and words of the end are those of the hub.
   */
  connect(hub: IrohAddress, options?: IrohConnectOptions): WebSocketLike;
  /** Closes it, and with it what is left of its connections. */
  close(): Promise<void>;
}

const normal = (url: string | URL) => new URL(url).href;

/** `ours` is the module's file where the caller names none. */
export async function createEndpoint(
  options: IrohEndpointOptions,
  ours: () => unknown,
): Promise<IrohEndpoint> {
  const {
    relay = [],
    secretKey,
    wasm,
    WebSocket = globalThis.WebSocket as WebSocketClass | undefined,
  } = options;
  const relays = (typeof relay === "string" || relay instanceof URL ? [relay] : [...relay]).map(normal);
  if (secretKey && secretKey.length !== 32) {
    throw new RangeError(`a secret key has 32 bytes, not ${secretKey.length}`);
  }
  if (!WebSocket) {
    throw new PubSubError(
      "no_websocket",
      "this runtime has no WebSocket, by which relays are reached: give one as `WebSocket`, such as that of npm ws",
    );
  }
  if (!globalThis.crypto) {
    throw new PubSubError("no_wasm", "this runtime has no global `crypto`, which the module of iroh needs");
  }
  const { Endpoint, setWebSocket } = await theModule(wasm === undefined ? ours : () => wasm);
  setWebSocket(patient(WebSocket));
  const endpoint = await Endpoint.bind(relays, secretKey);
  let closing: Promise<void> | undefined;
  const made: Omit<IrohEndpoint, "secretKey"> = {
    id: endpoint.id(),
    connect(hub, { alpn = "alkpubsub/1", maxMessage, connectTimeout } = {}) {
      const { id, relay } = typeof hub === "string" ? { id: hub, relay: undefined } : hub;
      const at = relay === undefined ? undefined : normal(relay);
      const most = bound("maxMessage", maxMessage, 65_536);
      const patience = bound("connectTimeout", connectTimeout, 10_000);
      return createSocket(endpoint.connect(id, at, alpn, most, patience));
    },
    close() {
      closing ??= endpoint.close();
      return closing;
    },
  };
  // Whoever looks at all of it, as a console does, does not see that.
  return Object.defineProperty(made, "secretKey", { get: () => endpoint.secretKey() }) as IrohEndpoint;
}
