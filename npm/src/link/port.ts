// The target of one end of a message port, whatever the runtime calls its ends.

import { theCore } from "../core/link-core.js";
import { PubSubError } from "../errors.js";
import type { EventEnvelope } from "../types.js";
import { clone } from "./clone.js";
import { createLink, type Link } from "./link.js";

/** What a worker's end may be told. */
export interface WorkerOptions {
  /** Told what a listener throws; `console.error` unless given. The other listeners are called all the same. */
  readonly onError?: ((error: unknown) => void) | undefined;
  /**
   * What of an envelope is handed over rather than copied: `ArrayBuffer`s, ports, streams. It is of no use here
   * afterwards. Asked for each event that is published; all of it is copied unless given.
   */
  readonly transfer?: ((envelope: EventEnvelope) => readonly object[]) | undefined;
}

/** Takes messages: a worker, a port, or a worker's own global scope. */
export interface Posts {
  postMessage(message: unknown, transfer?: never): void;
}

export type Handler = (event: never) => void;
/** What happens at a port, by name, and who is told. */
export type Handlers = readonly (readonly [name: string | symbol, handler: Handler])[];

/** How a runtime tells what happens at a port. */
export interface Events {
  add(name: string | symbol, handler: Handler): void;
  remove(name: string | symbol, handler: Handler): void;
  /** Where the message is in what a handler of `message` is called with. */
  data(event: never): unknown;
  /** Messages that wait are to come. */
  start?(): void;
}

/** `ends` says what else is heard, beside messages. */
export function createPortTarget(
  port: Posts,
  events: Events,
  { onError, transfer }: WorkerOptions,
  ends: (link: Link) => Handlers,
): Link {
  const onMessage: Handler = (event) => link.receive(events.data(event));
  let started = false;
  const link = createLink<EventEnvelope>(
    {
      capabilities: {
        echo: false,
        order: "connection",
        carries: "clone",
        lifetime: "connection",
        confirms: true,
      },
      forward: false,
      shared: true,
    },
    { onError },
    {
      send(envelope) {
        try {
          const list = transfer?.(envelope);
          if (list?.length) port.postMessage(envelope, list as never);
          else port.postMessage(envelope);
        } catch (error) {
          // So says a worker that is gone, where it says something.
          if ((error as Error | undefined)?.name === "InvalidStateError") throw error;
          const { type, id } = envelope;
          const message = `the payload of ${type}:${id} cannot be posted: ${error}`;
          throw Object.assign(new PubSubError("not_cloneable", message), { cause: error });
        }
      },
      // Node keeps a thread alive while its port is listened to, and keeps messages until it is. So do we, by topics.
      listening(somebody) {
        if (!somebody) return events.remove("message", onMessage);
        events.add("message", onMessage);
        if (!started) events.start?.();
        started = true;
      },
      // Nobody tells.
      buffered: () => 0,
      end() {
        events.remove("message", onMessage);
        for (const [name, handler] of handlers) events.remove(name, handler);
      },
    },
    theCore(),
    clone,
  );
  const unreadable = () =>
    link.failed(new PubSubError("bad_input", "a message came that cannot be read here"), "unreadable");
  const handlers: Handlers = [["messageerror", unreadable], ...ends(link)];
  for (const [name, handler] of handlers) events.add(name, handler);
  link.open();
  return link;
}
