import { checkTopic, PubSubError, report } from "./errors.js";
import { LightEvent, realEvent } from "./event.js";
import { createInProcessEventTarget } from "./event-target.js";
import { createSubscription, type Home, type Member } from "./subscription.js";
import type {
  EventEnvelope,
  EventMapOf,
  PubSub,
  PubSubConfig,
  PubSubEventMap,
  SubscribeOptions,
  TypedEvent,
  TypedEventTarget,
} from "./types.js";

/** A plain `new EventTarget()` is in place at once; what a subclass makes of it is not known. */
const isPlain = (target: object) =>
  typeof EventTarget === "function" && Object.getPrototypeOf(target) === EventTarget.prototype;

/**
 * Makes the typed face of an event target: in-process by default, or of the one given, which may be a plain
 * `new EventTarget()`.
 *
 * @example
 * type Events = { "call.responded": { output: number } };
 * const pubsub = createPubSub<Events>();
 *
 * const events = pubsub.subscribe("call.responded", "uuid-123");
 * await events.ready; // listening from here on, read or not
 * pubsub.publish("call.responded", "uuid-123", { output: 42 });
 *
 * for await (const { id, payload } of events) {
 *   console.log(id, payload.output);
 *   break; // ends the subscription
 * }
 */
export function createPubSub<TEventMap extends EventMapOf<TEventMap> = PubSubEventMap>(
  config: PubSubConfig<TEventMap> = {},
): PubSub<TEventMap> {
  const { eventTarget, onError, onLoss } = config;
  const target = (eventTarget ?? createInProcessEventTarget({ onError })) as TypedEventTarget;
  const live = new Set<Member>();
  let closed = false;

  // One listener a notice for all subscriptions, there as long as there is one.
  const hear = (event: TypedEvent) => {
    for (const member of [...live]) member.notice(event);
  };
  const listenToNotices = (method: "addEventListener" | "removeEventListener") => {
    if (!target.capabilities || live.size) return;
    for (const name of ["close", "denied", "gap"]) target[method](name, hear);
  };
  const home: Home = {
    listen: (topic, listener) => target.addEventListener(topic, listener),
    unlisten: (topic, listener) => target.removeEventListener(topic, listener),
    async ready(topic) {
      return target.ready?.(topic) ?? { status: isPlain(target) ? "confirmed" : "unconfirmed" };
    },
    isClosed: () => closed,
    report: (error) => report(error, onError),
    enter(member) {
      listenToNotices("addEventListener");
      live.add(member);
    },
    leave(member) {
      live.delete(member);
      listenToNotices("removeEventListener");
    },
  };
  const open = () => {
    if (closed) throw new PubSubError("closed", "the pubsub is closed");
  };

  const pubsub = {
    publish(type: string, id: string, payload: unknown): boolean {
      open();
      checkTopic(type, id);
      const topic = `${type}:${id}`;
      const envelope: EventEnvelope = { type, id, payload };
      const event = target.capabilities ? new LightEvent(topic, envelope) : realEvent(topic, envelope);
      return target.dispatchEvent(event as TypedEvent);
    },

    subscribe(
      first: string | readonly (readonly [string, string])[],
      second?: string | SubscribeOptions,
      third?: SubscribeOptions,
    ): unknown {
      open();
      const several = Array.isArray(first);
      const wanted = new Map<string, Set<string>>();
      for (const [type, id] of (several ? first : [[first, second]]) as [string, string][]) {
        checkTopic(type, id);
        wanted.set(type, (wanted.get(type) ?? new Set()).add(id));
      }
      if (!wanted.size) throw new PubSubError("bad_topic", "a subscription needs a topic at least");
      const options = (several ? second : third) as SubscribeOptions | undefined;
      return createSubscription(home, wanted, { ...(onLoss && { onLoss }), ...options });
    },

    close() {
      if (closed) return;
      closed = true;
      for (const member of [...live]) member.stop({ reason: "closed" });
    },
  };
  if (Symbol.dispose) Object.assign(pubsub, { [Symbol.dispose]: pubsub.close });
  if (Symbol.asyncDispose) Object.assign(pubsub, { [Symbol.asyncDispose]: async () => pubsub.close() });
  return pubsub as unknown as PubSub<TEventMap>;
}
