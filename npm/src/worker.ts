import { PubSubError } from "./errors.js";
import type { Link } from "./link/link.js";
import {
  createPortTarget,
  type Events,
  type Handler,
  type Handlers,
  type Posts,
  type WorkerOptions,
} from "./link/port.js";
import type { EventMapOf, PubSubEventMap, PubSubEventTarget } from "./types.js";

export type { WorkerOptions } from "./link/port.js";

/**
 * What is needed of a worker, or of a port: `Worker` of browsers, Deno, Bun and `node:worker_threads`, a `MessagePort`,
 * the port of a `SharedWorker`.
 */
export interface WorkerLike {
  postMessage(message: unknown, transfer?: never): void;
  addEventListener?(type: never, listener: never): void;
  removeEventListener?(type: never, listener: never): void;
  on?(event: never, listener: never): unknown;
  off?(event: never, listener: never): unknown;
  start?(): void;
}

/** What has the DOM's methods. */
interface Dom extends Posts {
  addEventListener(type: string, listener: Handler): void;
  removeEventListener(type: string, listener: Handler): void;
  start?(): void;
}

/** @internal */
export const isDom = (port: WorkerLike): port is WorkerLike & Dom =>
  typeof port.addEventListener === "function";

const eventsOf = (port: Dom): Events => ({
  add: (name, handler) => port.addEventListener(name as string, handler),
  remove: (name, handler) => port.removeEventListener(name as string, handler),
  data: ({ data }: { data: unknown }) => data,
  start: () => port.start?.(),
});

/** @internal */
export const domEnd = (
  port: Dom,
  options: WorkerOptions,
  ends: (link: Link) => Handlers,
): PubSubEventTarget => createPortTarget(port, eventsOf(port), options, ends).target;

/** @internal Ports say when they are closed, and so do workers in Bun, with the exit code. */
export const closes = (link: Link): Handlers[number] => [
  "close",
  ({ code }: { code?: number }) => link.lost(code === undefined ? "the port is closed" : exited(code)),
];

/** @internal */
export const exited = (code: number) => `the worker has ended with exit code ${code}`;

/** An error event: that of a worker that could not be loaded has no message. */
interface Failure {
  readonly message?: string;
  readonly error?: unknown;
}

/** @internal Whether an uncaught error ends a worker is the runtime's choice. */
export function domHost(worker: WorkerLike, options: WorkerOptions, errorsEnd: boolean): PubSubEventTarget {
  if (!isDom(worker)) {
    throw new TypeError("this is no Worker and no MessagePort; of a SharedWorker, its port is needed");
  }
  return domEnd(worker, options, (link) => [
    closes(link),
    [
      "error",
      ({ error, message }: Failure) => {
        if (message === undefined) link.lost("the worker could not be loaded");
        else if (errorsEnd) link.lost(`the worker failed: ${message}`);
        else link.failed(error ?? new Error(message));
      },
    ],
  ]);
}

/**
 * The event target of a worker, at the side that made it: what is dispatched is posted to the thread, and what the
 * thread posts goes to the listeners. Or that of any `MessagePort`: of a channel, of a `SharedWorker`.
 *
 * - Everything that is published crosses, and each side filters: there are no subscriptions to wait for, and
 *   `ready` is `confirmed` at once. A publisher does not hear itself. Envelopes are cloned: `Map`, `Date`, `ArrayBuffer`
 *   and `undefined` arrive; a function throws a {@link PubSubError} of code `not_cloneable`. With `transfer` buffers
 *   are handed over and not copied.
 * - What is posted before the thread listens waits in its port, and is not lost: the thread has to listen before it
 *   first gives way (awaits), in Node before it is done. What waits there is not bounded, and nobody says how much it is.
 * - The worker stays yours: `close()` lets go of it and does not terminate it; your own handlers keep being called. In
 *   Node an error of the worker that you do not handle is uncaught, as without this target.
 * - Listeners of `close` are told once when the worker ends: with `node:worker_threads`, of its error or exit code. No
 *   browser tells that a worker was terminated; an uncaught error does not end one there and is an `error` notice, and
 *   one that cannot be loaded is told as `close`. So with the Web Workers of Deno, where an error ends one, and of Bun,
 *   which tells of the end, too. A port tells when the other side is closed, except in old browsers.
 * - Others may use the same port. Messages without `type` and `id` are theirs: not touched, counted as `foreign`.
 *   What has both and is no envelope is counted as `bad_input` and told to listeners of `error`; it ends nothing. A
 *   message that cannot be read here is told as a `gap`, too.
 * - In Node a port keeps its process alive while a topic of it is listened to, as `port.on("message", …)` does, and a
 *   `Worker` as it did before.
 *
 * @throws PubSubError `no_wasm` where no WebAssembly may be compiled; TypeError for what is no worker and no port.
 *
 * @example
 * const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
 * const pubsub = createPubSub<Events>({ eventTarget: createWorkerHostEventTarget(worker) });
 * pubsub.publish("job", "7", { pixels });
 * for await (const { payload } of pubsub.subscribe("done", "7")) console.log(payload);
 */
export function createWorkerHostEventTarget<TEventMap extends EventMapOf<TEventMap> = PubSubEventMap>(
  worker: WorkerLike,
  options: WorkerOptions = {},
): PubSubEventTarget<TEventMap> {
  return domHost(worker, options, false) as unknown as PubSubEventTarget<TEventMap>;
}

/**
 * The event target of a worker, within it: what is dispatched is posted to the side that made the worker, and what that
 * posts goes to the listeners. See {@link createWorkerHostEventTarget} for what holds for both.
 *
 * - In a `SharedWorker` each page has a port of its own: `createWorkerHostEventTarget(event.ports[0])` in `onconnect`.
 * - In Node a thread lives while one of its topics is listened to, as with `parentPort.on("message", …)`; when the last
 *   listener goes, it may end. `close()` lets go of the port and does not close it.
 *
 * @throws PubSubError `no_worker` where this is no worker, `no_wasm` where no WebAssembly may be compiled.
 *
 * @example
 * const pubsub = createPubSub<Events>({ eventTarget: createWorkerThreadEventTarget() });
 * for await (const { id, payload } of pubsub.subscribe("job", "7")) pubsub.publish("done", id, work(payload));
 */
export function createWorkerThreadEventTarget<TEventMap extends EventMapOf<TEventMap> = PubSubEventMap>(
  options: WorkerOptions = {},
): PubSubEventTarget<TEventMap> {
  const scope = globalThis as unknown as Dom & { WorkerGlobalScope?: unknown };
  // A page has a postMessage, too, which is another one.
  if (typeof scope.WorkerGlobalScope !== "function" || typeof scope.postMessage !== "function") {
    const message =
      "this is no worker, or one of many pages: there createWorkerHostEventTarget(port) is right";
    throw new PubSubError("no_worker", message);
  }
  return domEnd(scope, options, () => []) as unknown as PubSubEventTarget<TEventMap>;
}
