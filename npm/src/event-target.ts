import { PubSubError } from "./errors.js";
import { adopt, LightEvent } from "./event.js";
import { createListeners } from "./listeners.js";
import type { EventMapOf, PubSubEventMap, PubSubEventTarget } from "./types.js";

export interface InProcessOptions {
  /** Told what a listener throws; `console.error` unless given. The other listeners are called all the same. */
  readonly onError?: ((error: unknown) => void) | undefined;
}

/**
 * The event target of one memory, which `createPubSub` makes unless it is given another. It behaves as the DOM
 * standard's `EventTarget` does where there is no tree (`once`, `signal`, `passive`, `handleEvent`, removal during a
 * dispatch), needs no globals, and differs in this:
 * - a listener that throws is reported to `onError`, and never ends the process,
 * - `dispatchEvent` takes events of topics alone: their `detail` is an envelope, their `type` its `<type>:<id>`;
 *   listeners get an event object of the target's own, with that type and detail,
 * - it can be closed: listeners of `close` are told once, then all are removed; adding and dispatching throw.
 *
 * It queues nothing and loses nothing: who listens is called within `dispatchEvent`.
 *
 * @example
 * const target = createInProcessEventTarget({ onError: (error) => log.warn(error) });
 * target.addEventListener("call.responded:uuid-123", ({ detail }) => console.log(detail.payload));
 * const pubsub = createPubSub<Events>({ eventTarget: target });
 */
export function createInProcessEventTarget<TEventMap extends EventMapOf<TEventMap> = PubSubEventMap>(
  options: InProcessOptions = {},
): PubSubEventTarget<TEventMap> {
  const listeners = createListeners(options.onError);
  let closed = false;
  const open = () => {
    if (closed) throw new PubSubError("closed", "the event target is closed");
  };
  const target: PubSubEventTarget = {
    capabilities: {
      echo: true,
      order: "connection",
      carries: "reference",
      lifetime: "outlives",
      confirms: true,
    },
    addEventListener(name: string, callback: never, added?: never) {
      open();
      listeners.add(String(name), callback, added);
    },
    removeEventListener(name, callback, removed) {
      listeners.remove(String(name), callback, removed);
    },
    dispatchEvent(event) {
      open();
      return listeners.dispatch(adopt(event), target);
    },
    ready: async () => ({ status: closed ? "closed" : "confirmed" }),
    close() {
      if (closed) return;
      closed = true;
      listeners.dispatch(new LightEvent("close", { reason: "closed by the program" }), target);
      listeners.clear();
    },
    stats: listeners.stats,
  };
  return target as unknown as PubSubEventTarget<TEventMap>;
}
