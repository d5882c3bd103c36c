import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { createEndpoint, type IrohEndpoint, type IrohEndpointOptions } from "./endpoint.js";

export type { WebSocketLike } from "../link/socket.js";
export type { IrohAddress, IrohConnectOptions, IrohEndpoint, IrohEndpointOptions } from "./endpoint.js";
export { createIrohSpokeEventTarget, type IrohSpokeOptions } from "./target.js";

declare const __filename: string | undefined;

/** That of `spoke.ts`, where the module is read as a file. */
export function createIrohEndpoint(options: IrohEndpointOptions = {}): Promise<IrohEndpoint> {
  return createEndpoint(options, () => {
    const here = typeof __filename === "string" ? pathToFileURL(__filename) : import.meta.url;
    return readFile(new URL("./iroh.wasm", here));
  });
}
