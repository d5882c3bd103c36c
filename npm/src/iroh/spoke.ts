import { createEndpoint, type IrohEndpoint, type IrohEndpointOptions } from "./endpoint.js";

export type { WebSocketLike } from "../link/socket.js";
export type { IrohAddress, IrohConnectOptions, IrohEndpoint, IrohEndpointOptions } from "./endpoint.js";
export { createIrohSpokeEventTarget, type IrohSpokeOptions } from "./target.js";

/**
 * Makes an endpoint of iroh's, which reaches hubs by a relay: the only way there is from within a page.
 *
 * The first call loads the WebAssembly module, a file of its own beside this one. A page whose Content-Security-Policy says
 * what it may load has to allow `script-src 'wasm-unsafe-eval'`, and `connect-src` for that file and for the relay's
 * `wss:`.
 *
 * @throws PubSubError (as the promise does) `no_wasm` where the module cannot be loaded or compiled, `no_websocket` where
 * the runtime has no WebSocket; TypeError for a URL that is none, RangeError for a key of another length.
 *
 * @example
 * const endpoint = await createIrohEndpoint({ relay: "https://relay.example/" });
 */
export function createIrohEndpoint(options: IrohEndpointOptions = {}): Promise<IrohEndpoint> {
  return createEndpoint(options, () => new URL("./iroh.wasm", import.meta.url));
}
