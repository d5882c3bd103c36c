// The module of iroh's: a file of its own, which is fetched when the first endpoint is made, and by nobody else.
import { PubSubError } from "../errors.js";
import type { WebSocketClass } from "./web-socket.js";

/** What `crates/alkpubsub-wasm-iroh` gives of an endpoint. */
export interface RawEndpoint {
  id(): string;
  secretKey(): Uint8Array;
  connect(
    hub: string,
    relay: string | undefined,
    alpn: string,
    maxMessage: number,
    patience: number,
  ): Promise<RawStream>;
  close(): Promise<void>;
}

/** And of the one stream of a connection. */
export interface RawStream {
  /** As soon as there is one. None: it has ended. */
  next(): Promise<Uint8Array[]>;
  /** How: one of the numbers below; a code; words. */
  end(): [kind: number, code: number, reason: string];
  /** QUIC has taken them afterwards. */
  write(texts: string[]): Promise<void>;
  /** Says the last word, which the far side has afterwards. */
  finish(code: number, reason: string): Promise<void>;
  /** Ends the connection; what has not arrived never will. */
  close(code: number, reason: string): void;
  free(): void;
}

/** By the end of the far side's half; by its last word, which wants an answer; for what came is no frame, or too long. */
export const [OVER, SAID, REFUSED] = [1, 2, 4];

export interface IrohModule {
  /** By which relays are reached. */
  setWebSocket(made: WebSocketClass): void;
  readonly Endpoint: { bind(relays: string[], secretKey?: Uint8Array): Promise<RawEndpoint> };
}

let loading: Promise<IrohModule> | undefined;

/**
 * The one instance of this copy of the package, made at first use of what the first user gives: the file's URL, its bytes,
 * a response with them, or a compiled module.
 *
 * @throws PubSubError `no_wasm` where the runtime has no WebAssembly, the page's policy forbids it, or the file is not
 * there. The next to ask tries again.
 */
export function theModule(file: () => unknown): Promise<IrohModule> {
  loading ??= load(file).catch((error) => {
    loading = undefined;
    const message =
      "the WebAssembly module of iroh could not be loaded; it is the package's file `iroh.wasm`, whose place the option " +
      "`wasm` tells, and a Content-Security-Policy has to allow it with script-src 'wasm-unsafe-eval' and connect-src";
    throw Object.assign(new PubSubError("no_wasm", `${message}: ${error}`), { cause: error });
  });
  return loading;
}

async function load(file: () => unknown): Promise<IrohModule> {
  const { default: instantiate, ...glue } = await import("./glue.js");
  await instantiate({ module_or_path: (await file()) as never });
  return glue as unknown as IrohModule;
}
