import { expectTypeOf, test } from "vitest";
import {
  createInProcessEventTarget,
  createPubSub,
  type EventEnvelope,
  type Loss,
  type PubSub,
  type PubSubEventMap,
  type Push,
  Repeater,
  type Stop,
  type Subscription,
  type TypedEvent,
  type TypedEventTarget,
} from "../../src/index.js";

type Events = {
  "call.responded": { output: number; note?: string };
  "call.error": { code: string };
  empty: undefined;
};
const pubsub = createPubSub<Events>();

test("publish: names, payloads and the id are checked", () => {
  pubsub.publish("call.responded", "uuid", { output: 42 });
  pubsub.publish("empty", "", undefined);
  // @ts-expect-error no such event
  pubsub.publish("call.respond", "uuid", { output: 42 });
  // @ts-expect-error a payload of another type
  pubsub.publish("call.responded", "uuid", { output: "42" });
  // @ts-expect-error the payload of another event
  pubsub.publish("call.responded", "uuid", { code: "X" });
  // @ts-expect-error no id
  pubsub.publish("call.responded", { output: 42 });
  // @ts-expect-error no payload
  pubsub.publish("call.responded", "uuid");
  // @ts-expect-error an id is a string
  pubsub.publish("call.responded", 7, { output: 42 });
  // @ts-expect-error exactOptionalPropertyTypes
  pubsub.publish("call.responded", "uuid", { output: 42, note: undefined });
});

test("subscribe: names and ids are checked, envelopes are typed", () => {
  const events = pubsub.subscribe("call.responded", "uuid");
  expectTypeOf(events).toEqualTypeOf<
    Subscription<EventEnvelope<"call.responded", Events["call.responded"]>>
  >();
  expectTypeOf(events).toExtend<Repeater<EventEnvelope<"call.responded", { output: number }>>>();
  // @ts-expect-error no such event
  pubsub.subscribe("call.respond", "uuid");
  // @ts-expect-error no id
  pubsub.subscribe("call.responded");
  // @ts-expect-error no such policy
  pubsub.subscribe("call.responded", "uuid", { overflow: "wait" });
});

test("several topics: a union that its type tells apart", async () => {
  const events = pubsub.subscribe([
    ["call.responded", "1"],
    ["call.error", "1"],
  ]);
  for await (const event of events) {
    expectTypeOf(event.type).toEqualTypeOf<"call.responded" | "call.error">();
    if (event.type === "call.error") expectTypeOf(event.payload).toEqualTypeOf<{ code: string }>();
    else expectTypeOf(event.payload.output).toBeNumber();
  }
  // @ts-expect-error no such event
  pubsub.subscribe([["call.respond", "1"]]);
  // @ts-expect-error no id
  pubsub.subscribe([["call.responded"]]);
});

test("losses are items only where they are asked for", async () => {
  for await (const item of pubsub.subscribe("call.error", "1", { losses: true })) {
    expectTypeOf(item).toEqualTypeOf<EventEnvelope<"call.error", { code: string }> | Loss>();
    if (item.type === "__lagged") expectTypeOf(item.missed).toBeNumber();
    else if (item.type === "__gap") expectTypeOf(item.reason).toBeString();
    else expectTypeOf(item.payload.code).toBeString();
  }
  for await (const item of pubsub.subscribe([["call.error", "1"]], { capacity: 8 })) {
    expectTypeOf(item).toEqualTypeOf<EventEnvelope<"call.error", { code: string }>>();
  }
});

test("whether losses are items is known when it is compiled", () => {
  // @ts-expect-error it could be either
  pubsub.subscribe("call.error", "1", { losses: Date.now() > 0 });
});

test("reserved names are no events of a map", () => {
  const odd = createPubSub<{ __ping: number; ok: number }>();
  odd.publish("ok", "", 1);
  // @ts-expect-error reserved
  odd.publish("__ping", "", 1);
});

test("as programs for the earlier package write it", () => {
  createPubSub<Events>(undefined);
  createPubSub<Events>({ eventTarget: undefined });
  createPubSub<Events>({ eventTarget: new EventTarget() });
  createPubSub<Events>({ eventTarget: createInProcessEventTarget<Events>() });
  const typed = new EventTarget() as unknown as TypedEventTarget<TypedEvent<string, EventEnvelope>>;
  createPubSub<Events>({ eventTarget: typed });
  class Holder {
    readonly pubsub: PubSub<Events> = createPubSub<Events>();
  }
  expectTypeOf(new Holder().pubsub.publish).parameter(0).toEqualTypeOf<keyof Events>();
  const repeater: AsyncIterable<number> = new Repeater<number>((push: Push<number>, stop: Stop) => {
    push(1);
    stop.then(() => {});
    stop();
  });
  expectTypeOf(repeater).toExtend<AsyncIterable<number>>();
  // @ts-expect-error no target
  createPubSub<Events>({ eventTarget: {} });
});

test("a map may be an interface, or open", () => {
  interface Declared {
    one: number;
  }
  createPubSub<Declared>().publish("one", "", 1);
  const open = createPubSub();
  expectTypeOf(open).toEqualTypeOf<PubSub<PubSubEventMap>>();
  open.publish("anything", "", { at: "all" });
});

test("notices and events of a target", () => {
  const target = createInProcessEventTarget<Events>();
  target.addEventListener("close", ({ detail }) => expectTypeOf(detail.reason).toBeString());
  target.addEventListener("gap", ({ detail }) => expectTypeOf(detail.missed).toEqualTypeOf<number | null>());
  target.addEventListener("call.error:1", ({ detail }) => {
    if (detail.type === "call.error") expectTypeOf(detail.payload.code).toBeString();
  });
  // @ts-expect-error neither a notice nor a topic
  target.addEventListener("clos", () => {});
});
