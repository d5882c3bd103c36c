// A pubsub that stands on this package's own and has one flaw: for the laws that ask something of it, not of a target.
import { createPubSub } from "../../create-pubsub.js";
import type { EventEnvelope, PubSub, Subscription } from "../../types.js";
import type { Fixture } from "../fixture.js";
import type { AnyEvents } from "../stage.js";
import { memory } from "./memory.js";

/** What such a pubsub can do wrong, and the laws that see it. */
export const pubsubFlaws = {
  TakesReserved: ["publishes whatever type it is given", "reserved"],
  ComparesTopics: ["compares the topic that type and id make, not type and id", "delivers_once_colons"],
  LeaksListener: ["leaves its listener where a subscription was left", "removal_on_drop"],
  RegistersLater: ["registers a moment after the first next()", "ready_first_next"],
  ReadyWithoutListener: ["says that it is ready and does not listen yet", "ready"],
  OneTopicAtATime: ["reads several topics one after the other", "order_subscription"],
  SwallowsLoss: ["does not tell of losses", "loss_is_seen"],
  CountsLossOnce: ["tells of one lost event where many were lost", "loss_is_seen"],
  Unbounded: ["keeps whatever nobody reads", "loss_is_seen", "bounded"],
  OverflowGoesOn: ["drops where it was to end with an error", "bounded"],
} as const satisfies Record<string, readonly [string, ...string[]]>;

export type PubSubFlaw = keyof typeof pubsubFlaws;

type Options = { capacity?: number; overflow?: string; onLoss?: (...told: unknown[]) => void };

export function wrongPubSub(flaw: PubSubFlaw): Fixture {
  const create = (config?: { eventTarget?: unknown }) => {
    const target = config?.eventTarget as {
      dispatchEvent(event: object): boolean;
      removeEventListener(...of: unknown[]): void;
    };
    const leaking = new Proxy(target, {
      get: (of, name) => (name === "removeEventListener" ? () => undefined : Reflect.get(of, name)),
    });
    const right = createPubSub<AnyEvents>({
      eventTarget: (flaw === "LeaksListener" ? leaking : target) as never,
    });
    const subscribe = right.subscribe as (...of: unknown[]) => Subscription<EventEnvelope>;
    const wrong = {
      ...right,
      publish(type: string, id: string, payload: unknown) {
        if (flaw !== "TakesReserved") return right.publish(type, id, payload);
        return target.dispatchEvent({ type: `${type}:${id}`, detail: { type, id, payload } });
      },
      subscribe(first: string | [string, string][], second: unknown, third?: Options) {
        const options = { ...(typeof first === "string" ? third : (second as Options | undefined)) };
        if (flaw === "SwallowsLoss") options.onLoss = () => undefined;
        if (flaw === "CountsLossOnce" && options.onLoss !== undefined) {
          const { onLoss } = options;
          let told = false;
          options.onLoss = (...of) => {
            if (!told) onLoss(...of);
            told = true;
          };
        }
        if (flaw === "Unbounded") options.capacity = 1e9;
        if (flaw === "OverflowGoesOn" && options.overflow === "error") options.overflow = "drop-oldest";
        if (typeof first !== "string") {
          if (flaw === "OneTopicAtATime")
            return oneByOne(first.map(([type, id]) => subscribe(type, id, options)));
          return subscribe(first, options);
        }
        if (flaw === "ComparesTopics") {
          const colon = `${first}:${String(second)}`.indexOf(":");
          const topic = `${first}:${String(second)}`;
          return subscribe(topic.slice(0, colon), topic.slice(colon + 1), options);
        }
        const events = subscribe(first, second, options);
        if (flaw === "RegistersLater") {
          const { next } = events;
          let waited: Promise<void> | undefined;
          events.next = async () => {
            waited ??= Promise.resolve();
            await waited;
            return next.call(events);
          };
        }
        if (flaw === "ReadyWithoutListener") {
          Object.defineProperty(events, "ready", { value: Promise.resolve({ status: "confirmed" }) });
        }
        return events;
      },
    };
    return wrong as unknown as PubSub<AnyEvents>;
  };
  return { ...memory(), deadline: 300, createPubSub: create as unknown as typeof createPubSub };
}

/** Several subscriptions, read in turn: the order between them is lost. */
function oneByOne(all: Subscription<EventEnvelope>[]) {
  return {
    ready: Promise.all(all.map((events) => events.ready)),
    async next() {
      const most = all.find((events) => events.stats().queued > 0) ?? all[0];
      return most?.next();
    },
    return: () => Promise.all(all.map((events) => events.return())),
  };
}
