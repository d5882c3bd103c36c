import { setImmediate } from "node:timers/promises";
import { afterEach, expect, test, vi } from "vitest";
import {
  createInProcessEventTarget,
  createPubSub,
  type Loss,
  type Notices,
  type Overflow,
  type Readiness,
  type TypedEvent,
} from "../src/index.js";

type Events = { a: number; b: number; "a:b": number };

/** A target that says more than plain ones do: what those of transports do, by hand. */
function remote(answers: Record<string, Readiness> = {}) {
  const listeners = new Map<string, Set<(event: TypedEvent) => void>>();
  const target = {
    capabilities: {
      echo: false,
      order: "connection",
      carries: "json",
      lifetime: "outlives",
      confirms: true,
    } as const,
    addEventListener(name: string, listener: (event: TypedEvent) => void) {
      listeners.set(name, (listeners.get(name) ?? new Set()).add(listener));
    },
    removeEventListener(name: string, listener: (event: TypedEvent) => void) {
      listeners.get(name)?.delete(listener);
    },
    dispatchEvent({ type, detail }: { type: string; detail: unknown }) {
      for (const listener of listeners.get(type) ?? []) listener({ type, detail } as TypedEvent);
      return true;
    },
    ready: vi.fn(
      (topic: string): Promise<Readiness> => Promise.resolve(answers[topic] ?? { status: "confirmed" }),
    ),
  };
  const tell = <K extends keyof Notices>(type: K, detail: Notices[K]) =>
    target.dispatchEvent({ type, detail });
  const count = () => [...listeners.values()].reduce((sum, set) => sum + set.size, 0);
  return { target, tell, count };
}

const drain = async (events: AsyncIterator<unknown> & { return(): unknown; stats(): { queued: number } }) => {
  const seen: unknown[] = [];
  const pending = Symbol("pending");
  for (;;) {
    const result = await Promise.race([events.next(), setImmediate(pending)]);
    if (result === pending || (result as IteratorResult<unknown>).done) return seen;
    const { value } = result as IteratorResult<{ payload?: unknown }>;
    seen.push("payload" in value ? value.payload : value);
  }
};

afterEach(() => vi.restoreAllMocks());

for (const [overflow, kept] of [
  ["drop-oldest", [3, 4, 5]],
  ["drop-newest", [1, 2, 3]],
] as [Overflow, number[]][]) {
  test(`${overflow}: so many wait, the others are counted and told of, and publish goes on`, async () => {
    const told: unknown[] = [];
    const pubsub = createPubSub<Events>();
    const events = pubsub.subscribe("a", "1", {
      capacity: 3,
      overflow,
      onLoss: (loss, topics) => told.push([loss, topics]),
    });
    await events.ready;
    for (let n = 1; n <= 5; n++) pubsub.publish("a", "1", n);
    expect(events.stats()).toEqual({ queued: 3, delivered: 0, lost: 2, gaps: 0 });
    expect(told).toEqual([
      [{ type: "__lagged", missed: 1 }, ["a:1"]],
      [{ type: "__lagged", missed: 1 }, ["a:1"]],
    ]);
    expect(await drain(events)).toEqual(kept);
    expect(events.stats()).toEqual({ queued: 0, delivered: 3, lost: 2, gaps: 0 });
  });
}

test("error: what waits is read, then one rejection by name, then done; publish goes on, nothing is uncaught", async () => {
  const pubsub = createPubSub<Events>();
  const target = createInProcessEventTarget();
  const other = createPubSub<Events>({ eventTarget: target });
  for (const on of [pubsub, other]) {
    const events = on.subscribe("a", "1", { capacity: 2, overflow: "error" });
    await events.ready;
    for (const n of [1, 2, 3, 4]) expect(on.publish("a", "1", n)).toBe(true);
    expect((await events.next()).value).toMatchObject({ payload: 1 });
    expect((await events.next()).value).toMatchObject({ payload: 2 });
    await expect(events.next()).rejects.toMatchObject({
      name: "PubSubError",
      code: "overflow",
      message: expect.stringContaining("a:1"),
    });
    expect(await events.next()).toEqual({ value: undefined, done: true });
    expect(events.end).toEqual({ reason: "overflow" });
    expect(events.stats().lost).toBe(1);
  }
  expect(target.stats().listeners).toBe(0);
});

test("error: leaving with return() before it is told leaves no rejection", async () => {
  const pubsub = createPubSub<Events>();
  const events = pubsub.subscribe("a", "1", { capacity: 1, overflow: "error" });
  await events.ready;
  for (const n of [1, 2]) pubsub.publish("a", "1", n);
  await events.return();
  expect(await events.next()).toEqual({ value: undefined, done: true });
});

test("the default holds 1024 and drops the oldest; whoever chose nothing is told on the console, once", async () => {
  const log = vi.spyOn(console, "error").mockImplementation(() => {});
  const pubsub = createPubSub<Events>();
  const events = pubsub.subscribe("a", "1");
  await events.ready;
  for (let n = 0; n < 1024 + 10; n++) pubsub.publish("a", "1", n);
  expect(events.stats()).toMatchObject({ queued: 1024, lost: 10 });
  expect((await events.next()).value).toMatchObject({ payload: 10 });
  expect(log).toHaveBeenCalledTimes(1);
  expect(String(log.mock.calls[0])).toContain("a:1");
});

test("whoever chose is not written to on the console", async () => {
  const log = vi.spyOn(console, "error").mockImplementation(() => {});
  const onLoss = vi.fn();
  const quiet = createPubSub<Events>();
  for (const options of [{ overflow: "drop-newest" }, { losses: true }, { onLoss }] as const) {
    const events = quiet.subscribe("a", "1", { capacity: 1, ...(options as object) });
    await events.ready;
    for (const n of [1, 2]) quiet.publish("a", "1", n);
    events.return();
  }
  const all = vi.fn();
  const loud = createPubSub<Events>({ onLoss: all });
  const events = loud.subscribe("a", "1", { capacity: 1 });
  await events.ready;
  for (const n of [1, 2]) loud.publish("a", "1", n);
  expect([onLoss.mock.calls.length, all.mock.calls.length, log.mock.calls.length]).toEqual([1, 1, 0]);
});

test("an onLoss that throws is reported and stops nobody", async () => {
  const errors: unknown[] = [];
  const pubsub = createPubSub<Events>({ onError: (error) => errors.push(error) });
  const error = new Error("mine");
  const events = pubsub.subscribe("a", "1", {
    capacity: 1,
    onLoss() {
      throw error;
    },
  });
  await events.ready;
  for (const n of [1, 2]) pubsub.publish("a", "1", n);
  expect(errors).toEqual([error]);
  expect(await drain(events)).toEqual([2]);
});

test("a capacity that is none is refused", () => {
  const pubsub = createPubSub<Events>();
  for (const capacity of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(() => pubsub.subscribe("a", "1", { capacity })).toThrow(RangeError);
  }
});

test("an overflow that is none is refused", () => {
  const pubsub = createPubSub();
  const overflow = "drop" as "error";
  expect(() => pubsub.subscribe("a", "1", { overflow })).toThrow("not drop");
});

test("losses: an item in the place of the loss; neighbours merge", async () => {
  const pubsub = createPubSub<Events>();
  const oldest = pubsub.subscribe("a", "1", { capacity: 2, losses: true });
  const newest = pubsub.subscribe("a", "1", { capacity: 2, losses: true, overflow: "drop-newest" });
  await Promise.all([oldest.ready, newest.ready]);
  for (const n of [1, 2, 3, 4, 5]) pubsub.publish("a", "1", n);
  await newest.next();
  pubsub.publish("a", "1", 6);
  pubsub.publish("a", "1", 7);
  expect(await drain(oldest)).toEqual([{ type: "__lagged", missed: 5 }, 6, 7]);
  expect(await drain(newest)).toEqual([
    2,
    { type: "__lagged", missed: 3 },
    6,
    { type: "__lagged", missed: 1 },
  ]);
});

test("losses: what the target tells is in its place, for the topics concerned alone", async () => {
  const { target, tell } = remote();
  const pubsub = createPubSub<Events>({ eventTarget: target });
  const one = pubsub.subscribe("a", "1", { losses: true });
  const two = pubsub.subscribe("a", "2", { losses: true });
  const waiting = two.next();
  one.ready;
  pubsub.publish("a", "1", 1);
  tell("gap", { topic: "a:1", missed: 3, reason: "slow" });
  pubsub.publish("a", "1", 2);
  tell("gap", { missed: null, reason: "reconnected" });
  tell("gap", { topic: "a:1", missed: null, reason: "broker" });
  expect(await drain(one)).toEqual([
    1,
    { type: "__lagged", missed: 3 },
    2,
    { type: "__gap", reason: "reconnected" },
  ]);
  expect((await waiting).value).toEqual({ type: "__gap", reason: "reconnected" });
  expect([one.stats(), two.stats()]).toMatchObject([
    { lost: 3, gaps: 2, delivered: 2 },
    { lost: 0, gaps: 1 },
  ]);
});

test("gaps of two topics that merge are a gap of any topic", async () => {
  const { target, tell } = remote();
  const events = createPubSub<Events>({ eventTarget: target }).subscribe(
    [
      ["a", "1"],
      ["a", "2"],
    ],
    { losses: true },
  );
  events.ready;
  tell("gap", { topic: "a:1", missed: null, reason: "slow" });
  tell("gap", { topic: "a:2", missed: null, reason: "broker" });
  expect(await drain(events)).toEqual([{ type: "__gap", reason: "slow" }]);
});

test("a target with capabilities gets light events, others real ones", () => {
  const { target } = remote();
  const seen: unknown[] = [];
  target.addEventListener("a:1", () => {});
  const dispatch = vi.spyOn(target, "dispatchEvent");
  createPubSub<Events>({ eventTarget: target }).publish("a", "1", 1);
  seen.push(dispatch.mock.calls[0]?.[0]);
  expect(seen[0]).toMatchObject({ type: "a:1", detail: { type: "a", id: "1", payload: 1 } });
  expect(seen[0]).not.toBeInstanceOf(Event);
});

test("a long queue is read whole and in order", async () => {
  const pubsub = createPubSub<Events>();
  const events = pubsub.subscribe("a", "1", { capacity: 500, overflow: "drop-oldest" });
  await events.ready;
  const seen: unknown[] = [];
  for (let n = 0; n < 700; n++) {
    pubsub.publish("a", "1", n);
    if (n % 3 === 0) seen.push(((await events.next()).value as { payload: number }).payload);
  }
  seen.push(...(await drain(events)));
  expect(seen).toEqual(Array.from({ length: 700 }, (_, n) => n));
});

test("an onLoss that throws does not reach a publisher whose target catches nothing", async () => {
  const { target } = remote();
  const errors: unknown[] = [];
  const pubsub = createPubSub<Events>({ eventTarget: target, onError: (error) => errors.push(error) });
  const events = pubsub.subscribe("a", "1", {
    capacity: 1,
    onLoss() {
      throw "mine";
    },
  });
  await events.ready;
  for (const n of [1, 2]) pubsub.publish("a", "1", n);
  expect(errors).toEqual(["mine"]);
});

test("without losses a gap is told to onLoss, and wakes nobody", async () => {
  const { target, tell } = remote();
  const told: Loss[] = [];
  const pubsub = createPubSub<Events>({ eventTarget: target, onLoss: (loss) => told.push(loss) });
  const events = pubsub.subscribe("a", "1");
  const waiting = events.next();
  tell("gap", { topic: "a:1", missed: null, reason: "broker" });
  pubsub.publish("a", "1", 1);
  expect((await waiting).value).toMatchObject({ payload: 1 });
  expect(told).toEqual([{ type: "__gap", reason: "broker", topic: "a:1" }]);
});

test("ready registers at once, says confirmed, and events wait from then on", async () => {
  const pubsub = createPubSub<Events>();
  const events = pubsub.subscribe("a", "1");
  pubsub.publish("a", "1", 0); // nobody listens yet
  const { ready } = events;
  pubsub.publish("a", "1", 1);
  expect(await ready).toEqual({ status: "confirmed" });
  expect(events.ready).toBe(ready);
  expect(await drain(events)).toEqual([1]);
});

test("ready says what the target says, the worst of all topics", async () => {
  const denied = { status: "denied", reason: "not_allowed" } as const;
  const { target } = remote({ "a:2": { status: "unconfirmed" }, "a:3": denied, "a:4": { status: "closed" } });
  const pubsub = createPubSub<Events>({ eventTarget: target });
  const status = async (...ids: string[]) => pubsub.subscribe(ids.map((id) => ["a", id] as const)).ready;
  expect(await status("1")).toMatchObject({ status: "confirmed" });
  expect(await status("1", "2")).toMatchObject({ status: "unconfirmed" });
  expect(await status("2", "4", "1")).toMatchObject({ status: "closed" });
  expect(await status("4", "3", "2")).toEqual({ ...denied, topic: "a:3" });
  expect(target.ready.mock.calls.map(([topic]) => topic)).toContain("a:3");
});

test("ready on targets without the hook: a plain EventTarget is in place, of others it is not known", async () => {
  const status = (eventTarget: EventTarget) =>
    createPubSub<Events>({ eventTarget }).subscribe("a", "1").ready;
  expect(await status(new EventTarget())).toEqual({ status: "confirmed" });
  expect(await status(new (class extends EventTarget {})())).toMatchObject({ status: "unconfirmed" });
});

test("ready of what has ended is closed", async () => {
  const pubsub = createPubSub<Events>();
  const events = pubsub.subscribe("a", "1");
  events.return();
  expect(await events.ready).toEqual({ status: "closed" });
  const aborted = pubsub.subscribe("a", "1", { signal: AbortSignal.abort() });
  expect(await aborted.ready).toEqual({ status: "closed" });
});

test("denied ends the subscriptions of the topic, quietly, with the reason; others go on", async () => {
  const { target, tell, count } = remote();
  const pubsub = createPubSub<Events>({ eventTarget: target });
  const one = pubsub.subscribe("a", "1");
  const two = pubsub.subscribe("a", "2");
  const [first, second] = [one.next(), two.next()];
  tell("denied", { topic: "a:1", action: "publish", reason: "not_allowed" });
  expect(one.end).toBe(undefined);
  tell("denied", { topic: "a:1", action: "subscribe", reason: "not_allowed" });
  expect(await first).toEqual({ value: undefined, done: true });
  expect(one.end).toEqual({ reason: "denied", detail: "not_allowed" });
  expect(await one.ready).toEqual({ status: "denied", reason: "not_allowed" });
  pubsub.publish("a", "2", 1);
  expect((await second).done).toBe(false);
  two.return();
  expect(count()).toBe(0);
});

test("one listener a notice for all subscriptions, gone with the last", () => {
  const { target, count } = remote();
  const pubsub = createPubSub<Events>({ eventTarget: target });
  const all = [1, 2, 3].map((id) => pubsub.subscribe("a", String(id)));
  for (const events of all) events.next();
  expect(count()).toBe(3 + 3);
  all[0]?.return();
  expect(count()).toBe(3 + 2);
  for (const events of all) events.return();
  expect(count()).toBe(0);
});

test("signal: ends it as return() does, and leaves nothing on the signal", async () => {
  const target = createInProcessEventTarget();
  const pubsub = createPubSub<Events>({ eventTarget: target });
  const controller = new AbortController();
  const add = vi.spyOn(controller.signal, "addEventListener");
  const remove = vi.spyOn(controller.signal, "removeEventListener");
  const left = pubsub.subscribe("a", "1", { signal: controller.signal });
  expect(add).not.toHaveBeenCalled();
  left.next();
  left.return();
  expect(remove.mock.calls[0]?.[1]).toBe(add.mock.calls[0]?.[1]);

  const events = pubsub.subscribe("a", "1", { signal: controller.signal });
  await events.ready;
  pubsub.publish("a", "1", 1);
  const waiting = pubsub.subscribe("a", "2", { signal: controller.signal });
  const next = waiting.next();
  controller.abort();
  expect(target.stats().listeners).toBe(0);
  expect(await next).toEqual({ value: undefined, done: true });
  expect(await events.next()).toEqual({ value: undefined, done: true });
  expect([events.end, waiting.end]).toEqual([{ reason: "aborted" }, { reason: "aborted" }]);
  const late = pubsub.subscribe("a", "1", { signal: controller.signal });
  expect(await late.next()).toEqual({ value: undefined, done: true });
});

test.runIf(Symbol.dispose)("dispose: the listeners are gone", async () => {
  const target = createInProcessEventTarget();
  const pubsub = createPubSub<Events>({ eventTarget: target });
  for (const symbol of [Symbol.dispose, Symbol.asyncDispose] as const) {
    const events = pubsub.subscribe("a", "1");
    await events.ready;
    await events[symbol]();
    expect(target.stats().listeners).toBe(0);
    expect(events.end).toEqual({ reason: "returned" });
  }
  await pubsub[Symbol.asyncDispose]();
  pubsub[Symbol.dispose]();
  expect(() => pubsub.publish("a", "1", 1)).toThrow(expect.objectContaining({ code: "closed" }));
});

test("several topics: one stream in the order of publishing, each event once", async () => {
  const pubsub = createPubSub<Events>();
  const events = pubsub.subscribe([
    ["a", "1"],
    ["b", "1"],
    ["a", "1"],
    ["a", "b:c"],
    ["a:b", "c"],
  ]);
  await events.ready;
  pubsub.publish("b", "1", 1);
  pubsub.publish("a", "1", 2);
  pubsub.publish("a", "2", 0);
  pubsub.publish("a", "b:c", 3);
  pubsub.publish("a:b", "c", 4);
  pubsub.publish("b", "1", 5);
  expect(await drain(events)).toEqual([1, 2, 3, 4, 5]);
});

test("several topics share one capacity", async () => {
  const pubsub = createPubSub<Events>();
  const events = pubsub.subscribe(
    [
      ["a", "1"],
      ["b", "1"],
    ],
    { capacity: 2, losses: true },
  );
  await events.ready;
  pubsub.publish("a", "1", 1);
  pubsub.publish("b", "1", 2);
  pubsub.publish("a", "1", 3);
  expect(await drain(events)).toEqual([{ type: "__lagged", missed: 1 }, 2, 3]);
});
