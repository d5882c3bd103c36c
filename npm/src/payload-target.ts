import { checkTopic } from "./errors.js";
import { LightEvent } from "./event.js";
import type { EventEnvelope, EventTargetLike, TypedEvent } from "./types.js";

type Callback = ((event: TypedEvent) => void) | { handleEvent(event: TypedEvent): void };

/** What a library calls an event, as a topic: one without an id has none after its colon. */
const topicOf = (name: string) => (name.includes(":") ? name : `${name}:`);

/** An event target whose events have payloads as their `detail`, and may have names without an id. */
export interface PayloadEventTarget extends EventTarget {}

/**
 * Puts a library whose events carry payloads, and no envelopes, on an event target of this package: the `createPubSub`
 * of graphql-yoga, or anything that dispatches `new CustomEvent(name, { detail: payload })`. Its event `user:1` is the
 * topic `user:1` on the wire, of type `user` and id `1`; its event `newUser` is `newUser:`, with an empty id.
 *
 * Bounds, losses and the end are those of the target given; its notices are listened to there. The topic is split at
 * its first colon. It adds nothing to close.
 *
 * @throws PubSubError `reserved` or `bad_topic` where an event's name is no topic.
 *
 * @example
 * import { createPubSub } from "@graphql-yoga/subscription";
 *
 * const target = createWebSocketClientEventTarget(new WebSocket("wss://hub.example/"));
 * const pubSub = createPubSub<{ "user:follow": [id: string, name: string] }>({
 *   eventTarget: createPayloadEventTarget(target),
 * });
 */
export function createPayloadEventTarget(target: EventTargetLike): PayloadEventTarget {
  const { addEventListener, dispatchEvent, removeEventListener } = target as EventTarget;
  // One wrapper for a callback under a name, as a callback counts once.
  const wrappers = new Map<string, WeakMap<Callback, (event: TypedEvent) => void>>();
  const wrap = (name: string, callback: Callback) => {
    const known = wrappers.get(name) ?? new WeakMap<Callback, (event: TypedEvent) => void>();
    wrappers.set(name, known);
    const wrapper =
      known.get(callback) ??
      (({ detail }) => {
        const event = new LightEvent(name, (detail as EventEnvelope).payload);
        event.target = event.currentTarget = payloads;
        if (typeof callback === "function") callback.call(payloads, event);
        else callback.handleEvent(event);
      });
    known.set(callback, wrapper);
    return wrapper;
  };
  const payloads = {
    addEventListener(name: string, callback: Callback | null, options?: never) {
      if (callback) addEventListener.call(target, topicOf(name), wrap(name, callback) as never, options);
    },
    removeEventListener(name: string, callback: Callback | null, options?: never) {
      if (callback) removeEventListener.call(target, topicOf(name), wrap(name, callback) as never, options);
    },
    dispatchEvent({ type: name, detail: payload }: TypedEvent): boolean {
      const topic = topicOf(name);
      const colon = topic.indexOf(":");
      const [type, id] = [topic.slice(0, colon), topic.slice(colon + 1)];
      checkTopic(type, id);
      const event = target.capabilities
        ? new LightEvent(topic, { type, id, payload })
        : new CustomEvent(topic, { detail: { type, id, payload } });
      return dispatchEvent.call(target, event as never);
    },
  };
  return payloads as unknown as PayloadEventTarget;
}
