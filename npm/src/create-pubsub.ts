import { checkTopic, PubSubError, report } from "./errors.js";
import { LightEvent, realEvent } from "./event.js";
import { createInProcessEventTarget } from "./event-target.js";
import { EnvelopeSubscription, type Home } from "./subscription.js";
import type {
  EventEnvelope,
  EventMapOf,
  Notices,
  PubSub,
  PubSubConfig,
  PubSubEventMap,
  SubscribeOptions,
  TypedEvent,
  TypedEventTarget,
} from "./types.js";

type Options = SubscribeOptions & { readonly losses?: boolean };

const NOTICES = ["close", "denied", "gap"] as const;

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
  const own = eventTarget ? undefined : createInProcessEventTarget({ onError });
  const target = (eventTarget ?? own) as TypedEventTarget;
  const ours = !!target.capabilities;
  const live = new Set<EnvelopeSubscription>();
  let closed = false;

  // One listener a notice for all subscriptions, there as long as there is one.
  const hear = ({ type, detail }: TypedEvent) => {
    for (const subscription of [...live]) {
      subscription.notice(type as keyof Notices, detail as Notices[keyof Notices]);
    }
  };
  const home: Home = {
    listen: (topic, listener) => target.addEventListener(topic, listener),
    unlisten: (topic, listener) => target.removeEventListener(topic, listener),
    async ready(topic) {
      return target.ready?.(topic) ?? { status: isPlain(target) ? "confirmed" : "unconfirmed" };
    },
    get closed() {
      return closed;
    },
    enter(subscription) {
      if (ours && live.size === 0) for (const name of NOTICES) target.addEventListener(name, hear);
      live.add(subscription);
    },
    leave(subscription) {
      live.delete(subscription);
      if (ours && live.size === 0) for (const name of NOTICES) target.removeEventListener(name, hear);
    },
    report: (error) => report(error, onError),
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
      return target.dispatchEvent(
        (ours ? new LightEvent(topic, envelope) : realEvent(topic, envelope)) as TypedEvent,
      );
    },

    subscribe(
      first: string | readonly (readonly [string, string])[],
      second?: string | Options,
      third?: Options,
    ): EnvelopeSubscription {
      open();
      const several = typeof first === "object" && first !== null;
      const pairs = several ? first : [[first, second as string] as const];
      const {
        capacity = 1024,
        overflow,
        losses = false,
        onLoss: lost = onLoss,
        signal,
      } = ((several ? second : third) as Options | undefined) ?? {};
      if (pairs.length === 0) throw new PubSubError("bad_topic", "a subscription needs a topic at least");
      if (!Number.isInteger(capacity) || capacity < 1) {
        throw new RangeError(`capacity must be a whole number from 1 on, not ${capacity}`);
      }
      const wanted = new Map<string, Set<string>>();
      for (const [type, id] of pairs) {
        checkTopic(type, id);
        const ids = wanted.get(type);
        if (ids) ids.add(id);
        else wanted.set(type, new Set([id]));
      }
      return new EnvelopeSubscription(home, wanted, { capacity, overflow, losses, onLoss: lost, signal });
    },

    close() {
      if (closed) return;
      closed = true;
      for (const subscription of [...live]) subscription.stop({ reason: "closed" });
      own?.close();
    },
  };
  if (Symbol.dispose) Object.assign(pubsub, { [Symbol.dispose]: pubsub.close });
  if (Symbol.asyncDispose) Object.assign(pubsub, { [Symbol.asyncDispose]: async () => pubsub.close() });
  return pubsub as unknown as PubSub<TEventMap>;
}
