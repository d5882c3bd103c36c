// The same where there is node:worker_threads, beside Web Workers or without them: Node, Bun, Deno.
import { errorMonitor } from "node:events";
import { isMainThread, parentPort } from "node:worker_threads";
import { createPortTarget, type Events, type Handler, type Posts, type WorkerOptions } from "./link/port.js";
import type { EventMapOf, PubSubEventMap, PubSubEventTarget } from "./types.js";
import * as web from "./worker.js";

export type { WorkerLike, WorkerOptions } from "./worker.js";

/** A `Worker` of node:worker_threads, which is an `EventEmitter`. */
interface Emitter extends Posts {
  on(name: string | symbol, handler: Handler): unknown;
  off(name: string | symbol, handler: Handler): unknown;
  readonly threadId?: number;
}

const isEmitter = (worker: web.WorkerLike): worker is web.WorkerLike & Emitter =>
  !web.isDom(worker) && typeof worker.on === "function";

const eventsOf = (worker: Emitter): Events => ({
  add: (name, handler) => worker.on(name, handler),
  remove: (name, handler) => worker.off(name, handler),
  data: (message) => message,
});

export const createWorkerHostEventTarget: typeof web.createWorkerHostEventTarget = <
  TEventMap extends EventMapOf<TEventMap> = PubSubEventMap,
>(
  worker: web.WorkerLike,
  options: WorkerOptions = {},
): PubSubEventTarget<TEventMap> => {
  if (!isEmitter(worker)) {
    // An error ends a Web Worker in Deno, where nothing else says so, and in Bun, where its close does.
    return web.domHost(worker, options, "Deno" in globalThis) as unknown as PubSubEventTarget<TEventMap>;
  }
  let failure: { readonly error: unknown } | undefined;
  const link = createPortTarget(worker, eventsOf(worker), options, (link) => [
    // Whoever handles no error has it uncaught, as without us. What was posted before it comes before the exit.
    [errorMonitor, (error) => (failure = { error })],
    ["exit", (code) => link.lost(failure ? `the worker failed: ${failure.error}` : web.exited(code))],
  ]);
  if (worker.threadId === -1) link.lost("the worker has ended before");
  return link.target as unknown as PubSubEventTarget<TEventMap>;
};

export const createWorkerThreadEventTarget: typeof web.createWorkerThreadEventTarget = <
  TEventMap extends EventMapOf<TEventMap> = PubSubEventMap,
>(
  options: WorkerOptions = {},
): PubSubEventTarget<TEventMap> => {
  const port = parentPort as web.WorkerLike | null;
  if (isMainThread || port === null || !web.isDom(port)) return web.createWorkerThreadEventTarget(options);
  return web.domEnd(port, options, (link) => [web.closes(link)]) as unknown as PubSubEventTarget<TEventMap>;
};
