import { callable } from "./check.js";
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
const isPlain = (target: object) => Object.getPrototypeOf(target) === globalThis.EventTarget?.prototype;

/**
 * Makes the typed face of an event target: in-process by default, or of the one given, which may be a plain
 * `new EventTarget()`.
 *
 * @throws TypeError if what is given is no event target.
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
  callable("eventTarget.dispatchEvent", target.dispatchEvent);
  const live = new Set<Member>();
  let closed = false;

  const open = () => {
    if (closed) throw new PubSubError("closed", "the pubsub is closed");
  };
  // One listener a notice for all subscriptions, there as long as there is one.
  const notices = target.capabilities ? ["close", "denied", "gap"] : [];
  const hear = (event: TypedEvent) => {
    // One that is told may end another.
    for (const member of [...live]) if (live.has(member)) member.notice(event);
  };
  const tell = (error: unknown) => report(error, onError);
  const home: Home = {
    listen: (topic, listener) => target.addEventListener(topic, listener),
    unlisten(topic, listener) {
      try {
        target.removeEventListener(topic, listener);
      } catch (error) {
        tell(error);
      }
    },
    async ready(topic) {
      try {
        const answer = await target.ready?.(topic);
        if (answer) return answer;
      } catch {
        // It cannot say.
      }
      return { status: isPlain(target) ? "confirmed" : "unconfirmed" };
    },
    report: tell,
    onLoss,
    enter(member) {
      open();
      if (!live.size) for (const name of notices) home.listen(name, hear);
      live.add(member);
    },
    leave(member) {
      live.delete(member);
      if (!live.size) for (const name of notices) home.unlisten(name, hear);
    },
  };

  const close = () => {
    if (closed) return;
    closed = true;
    for (const member of [...live]) member.stop({ reason: "closed" });
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
      for (const topic of several ? first : [[first, second]]) {
        const [type, id] = (Array.isArray(topic) ? topic : [topic]) as [string, string];
        checkTopic(type, id);
        wanted.set(type, (wanted.get(type) ?? new Set()).add(id));
      }
      if (!wanted.size) throw new PubSubError("bad_topic", "subscribe needs a topic");
      const options = (several ? second : third) as SubscribeOptions | undefined;
      return createSubscription(home, wanted, options ?? {});
    },

    // Where a runtime has no such symbols, these are `close` as well.
    [Symbol.asyncDispose ?? "close"]: async () => close(),
    [Symbol.dispose ?? "close"]: close,
    close,
  };
  return pubsub as unknown as PubSub<TEventMap>;
}
