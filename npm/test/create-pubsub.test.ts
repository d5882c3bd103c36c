// What programs that were written for the package's ancestors rely on.
import { setImmediate } from "node:timers/promises";
import { afterEach, expect, test, vi } from "vitest";
import { createInProcessEventTarget, createPubSub, type PubSubError, Repeater } from "../src/index.js";

type Events = { a: unknown; b: unknown; "a:b": unknown; done: unknown };

/** Every kind of target in one memory that createPubSub takes. */
const targets: [string, () => object | undefined][] = [
  ["the default", () => undefined],
  ["a target of ours that is given", () => createInProcessEventTarget()],
  ["a plain EventTarget", () => new EventTarget()],
  ["a subclass", () => new (class extends EventTarget {})()],
];

const make = (target?: object) =>
  createPubSub<Events>(target ? { eventTarget: target as EventTarget } : undefined);

/** Reads in the background, and stops when the loop ends. */
function read(source: AsyncIterable<{ payload: unknown }>) {
  const seen: unknown[] = [];
  const ended = (async () => {
    for await (const { payload } of source) seen.push(payload);
  })();
  return { seen, ended };
}

afterEach(() => vi.restoreAllMocks());

for (const [name, target] of targets) {
  test(`B1 ${name}: one topic meets, others do not, and "" is an id as any other`, async () => {
    const pubsub = make(target());
    const empty = read(pubsub.subscribe("a", ""));
    const x = read(pubsub.subscribe("a", "x"));
    const star = read(pubsub.subscribe("a", "*"));
    const b = read(pubsub.subscribe("b", ""));
    pubsub.publish("a", "", 1);
    pubsub.publish("a", "x", 2);
    await setImmediate();
    expect([empty.seen, x.seen, star.seen, b.seen]).toEqual([[1], [2], [], []]);
  });

  test(`B2, B4 ${name}: a loop that was just started hears what is published on the next lines, in order`, async () => {
    const pubsub = make(target());
    const { seen } = read(pubsub.subscribe("a", ""));
    for (const n of [1, 2, 3]) pubsub.publish("a", "", n);
    await setImmediate();
    expect(seen).toEqual([1, 2, 3]);
  });

  test(`${name}: a type that holds a colon is not taken for another`, async () => {
    const pubsub = make(target());
    const short = read(pubsub.subscribe("a", "b:c"));
    const long = read(pubsub.subscribe("a:b", "c"));
    pubsub.publish("a", "b:c", 1);
    pubsub.publish("a:b", "c", 2);
    await setImmediate();
    expect([short.seen, long.seen]).toEqual([[1], [2]]);
  });

  test(`B10 ${name}: payloads by reference, whatever they are, to every loop`, async () => {
    const pubsub = make(target());
    const [one, two] = [read(pubsub.subscribe("a", "1")), read(pubsub.subscribe("a", "1"))];
    const payloads = [undefined, null, 0, "", false, { undefined: undefined }, () => 1, Symbol("s"), [1n]];
    for (const payload of payloads) pubsub.publish("a", "1", payload);
    await setImmediate();
    for (const { seen } of [one, two]) {
      expect(seen.length).toBe(payloads.length);
      seen.forEach((payload, i) => {
        expect(payload).toBe(payloads[i]);
      });
    }
  });

  test(`${name}: leaving a loop removes the listener before the loop is left`, async () => {
    const et = target() ?? new EventTarget();
    const pubsub = make(et);
    const removed = vi.spyOn(et as EventTarget, "removeEventListener");
    const events = pubsub.subscribe("a", "1");
    events.next();
    const back = events.return(7);
    expect(removed.mock.calls.filter(([topic]) => topic === "a:1").length).toBe(1);
    expect(await back).toEqual({ value: 7, done: true });
    expect(await events.next()).toEqual({ value: undefined, done: true });
    pubsub.publish("a", "1", 1);
    expect(events.stats().queued).toBe(0);
  });
}

test("a plain EventTarget gets real events, which its own listeners understand", () => {
  const target = new EventTarget();
  const seen: unknown[] = [];
  target.addEventListener("a:1", (event) =>
    seen.push(event instanceof CustomEvent, (event as CustomEvent).detail),
  );
  createPubSub<Events>({ eventTarget: target }).publish("a", "1", 5);
  expect(seen).toEqual([true, { type: "a", id: "1", payload: 5 }]);
});

test("a plain EventTarget where there is no CustomEvent (Node 18)", async () => {
  vi.stubGlobal("CustomEvent", undefined);
  const pubsub = make(new EventTarget());
  const { seen } = read(pubsub.subscribe("a", "1"));
  pubsub.publish("a", "1", 5);
  await setImmediate();
  vi.unstubAllGlobals();
  expect(seen).toEqual([5]);
});

test("the default needs no Event, no EventTarget, no performance and no console", async () => {
  for (const name of ["CustomEvent", "Event", "EventTarget", "performance", "console", "AbortSignal"]) {
    vi.stubGlobal(name, undefined);
  }
  try {
    const target = createInProcessEventTarget();
    const pubsub = make(target);
    const { seen } = read(pubsub.subscribe("a", "1", { capacity: 1 }));
    let time: unknown;
    target.addEventListener("a:1", (event) => {
      time = event.timeStamp;
      throw new Error("for the console that is not there");
    });
    for (const n of [1, 2, 3]) pubsub.publish("a", "1", n);
    await new Promise<void>((resolve) => resolve());
    for (let i = 0; i < 10; i++) await null;
    expect(seen).toEqual([1, 3]);
    expect(time).toBeTypeOf("number");
  } finally {
    vi.unstubAllGlobals();
  }
});

test("foreign events on a shared EventTarget disturb nobody", async () => {
  const target = new EventTarget();
  const pubsub = make(target);
  const { seen } = read(pubsub.subscribe("a", "1"));
  target.dispatchEvent(new Event("a:1"));
  target.dispatchEvent(new CustomEvent("a:1", { detail: null }));
  target.dispatchEvent(new CustomEvent("a:1", { detail: "x" }));
  pubsub.publish("a", "1", 1);
  await setImmediate();
  expect(seen).toEqual([1]);
});

test("B3 publish is legal from an executor, from a loop, from a listener, and to nobody", async () => {
  const target = createInProcessEventTarget();
  const pubsub = make(target);
  pubsub.publish("a", "", "lost");
  const { seen } = read(pubsub.subscribe("a", ""));
  const repeater = new Repeater<number>((_, stop) => {
    pubsub.publish("a", "", "executor");
    stop();
  });
  target.addEventListener("b:", () => pubsub.publish("a", "", "listener"));
  await repeater.next();
  pubsub.publish("b", "", 0);
  await setImmediate();
  expect(seen).toEqual(["executor", "listener"]);
});

test("B6 stop(error): what was pushed drains, then the same error object", async () => {
  const error = Object.assign(new Error("mine"), { code: "X" });
  const repeater = new Repeater<number>((push, stop) => {
    push(1);
    push(2);
    stop(error);
    push(3);
  });
  const seen: number[] = [];
  let caught: unknown;
  try {
    for await (const n of repeater) seen.push(n);
  } catch (thrown) {
    caught = thrown;
  }
  expect(seen).toEqual([1, 2]);
  expect(caught).toBe(error);
});

test("B7 break: the executor's stop resolves, and what it publishes is heard", async () => {
  const pubsub = make();
  const { seen } = read(pubsub.subscribe("done", ""));
  const repeater = new Repeater<number>((push, stop) => {
    push(1);
    stop.then(() => pubsub.publish("done", "", "aborted"));
  });
  for await (const _ of repeater) break;
  await setImmediate();
  expect(seen).toEqual(["aborted"]);
});

test("B8 nothing happens before the first next(), and then at once", () => {
  const target = new EventTarget();
  const add = vi.spyOn(target, "addEventListener");
  const events = make(target).subscribe("a", "1");
  expect(add).not.toHaveBeenCalled();
  events.next();
  expect(add.mock.calls.map(([topic]) => topic)).toEqual(["a:1"]);
  let ran = false;
  const repeater = new Repeater(() => {
    ran = true;
  });
  expect(ran).toBe(false);
  repeater.next();
  expect(ran).toBe(true);
});

test("B9 whoever waits is done when it ends elsewhere", async () => {
  const events = make().subscribe("a", "1");
  const waiting = [events.next(), events.next()];
  await events.return();
  expect(await Promise.all(waiting)).toEqual([
    { value: undefined, done: true },
    { value: undefined, done: true },
  ]);
});

test("B11 a subscription that waits holds no timer and no handle", async () => {
  const { getActiveResourcesInfo } = process as unknown as { getActiveResourcesInfo(): string[] };
  await setImmediate();
  const before = getActiveResourcesInfo();
  const pubsub = make();
  read(pubsub.subscribe("a", "1", { signal: new AbortController().signal }));
  const events = pubsub.subscribe("a", "1", { capacity: 1, overflow: "drop-oldest" });
  await events.ready;
  for (const n of [1, 2]) pubsub.publish("a", "1", n);
  expect(getActiveResourcesInfo()).toEqual(before);
});

test("B13 the constructor's loops add their topics in order, before it returns", () => {
  const target = Object.assign(Object.create(EventTarget.prototype), {
    topics: [] as string[],
    addEventListener: (topic: string) => target.topics.push(topic),
    removeEventListener() {},
    dispatchEvent: () => true,
  });
  const pubsub = make(target);
  for (const type of ["a", "b", "done"] as const) read(pubsub.subscribe(type, ""));
  expect(target.topics).toEqual(["a:", "b:", "done:"]);
});

test("throw(error): ends it, and rejects once with that error", async () => {
  for (const started of [false, true]) {
    const events = make().subscribe("a", "1");
    const first = started ? events.next() : undefined;
    const error = new Error("mine");
    await expect(events.throw(error)).rejects.toBe(error);
    expect(await events.next()).toEqual({ value: undefined, done: true });
    if (first) expect(await first).toEqual({ value: undefined, done: true });
  }
});

test("it is a Repeater to instanceof, and iterates itself", () => {
  const events = make().subscribe("a", "1");
  expect(events).toBeInstanceOf(Repeater);
  expect(events[Symbol.asyncIterator]()).toBe(events);
});

test("1024 calls of next() wait at most", async () => {
  const events = make().subscribe("a", "1");
  const waiting = Array.from({ length: 1024 }, () => events.next());
  await expect(events.next()).rejects.toMatchObject({ code: "overflow" });
  await events.return();
  expect((await waiting[1023])?.done).toBe(true);
});

test("wrong types and ids are named errors of publish and of subscribe, before anything happens", () => {
  const target = new EventTarget();
  const dispatch = vi.spyOn(target, "dispatchEvent");
  const pubsub = make(target);
  const code = (type: unknown, id: unknown, call: (type: never, id: never) => unknown) => {
    try {
      call(type as never, id as never);
    } catch (error) {
      return (error as PubSubError).code;
    }
    return undefined;
  };
  for (const call of [
    (type: never, id: never) => pubsub.publish(type, id, 0 as never),
    (type: never, id: never) => pubsub.subscribe(type, id),
    (type: never, id: never) =>
      pubsub.subscribe([
        ["a", "1"],
        [type, id],
      ]),
  ]) {
    expect(code("__ping", "", call)).toBe("reserved");
    expect(code("__", "x", call)).toBe("reserved");
    expect(code("", "x", call)).toBe("bad_topic");
    expect(code("a", undefined, call)).toBe("bad_topic");
    expect(code("a", 1, call)).toBe("bad_topic");
    expect(code(Symbol("a"), "1", call)).toBe("bad_topic");
    expect(code("_a", "", call)).toBe(undefined);
  }
  expect(code("a", "1", () => pubsub.subscribe([]))).toBe("bad_topic");
  expect(dispatch.mock.calls.length).toBe(1);
});

test("publish says what the target says", () => {
  const target = { addEventListener() {}, removeEventListener() {}, dispatchEvent: () => false };
  expect(createPubSub({ eventTarget: target }).publish("a", "1", 0)).toBe(false);
  expect(make().publish("a", "1", 0)).toBe(true);
});

test("a target that refuses the listener: next() rejects with its error, once, and nothing is left", async () => {
  const error = new Error("no socket");
  const removed: string[] = [];
  const target = {
    addEventListener(topic: string) {
      if (topic === "b:1") throw error;
    },
    removeEventListener: (topic: string) => removed.push(topic) as never,
    dispatchEvent: () => true,
  };
  const events = createPubSub<Events>({ eventTarget: target }).subscribe([
    ["a", "1"],
    ["b", "1"],
  ]);
  await expect(events.next()).rejects.toBe(error);
  expect(await events.next()).toEqual({ value: undefined, done: true });
  expect(removed).toContain("a:1");
  expect(events.end).toEqual({ reason: "failed" });
});

test("close: what waits is still read, then done; later calls are named errors; the target given stays", async () => {
  const target = createInProcessEventTarget();
  const pubsub = make(target);
  const events = pubsub.subscribe("a", "1");
  const unread = pubsub.subscribe("a", "1");
  const waiting = read(pubsub.subscribe("a", "2"));
  await events.ready;
  pubsub.publish("a", "1", 1);
  pubsub.close();
  pubsub.close();
  await waiting.ended;
  expect((await events.next()).value).toMatchObject({ payload: 1 });
  expect(await events.next()).toEqual({ value: undefined, done: true });
  expect(await unread.next()).toEqual({ value: undefined, done: true });
  expect([events.end, unread.end]).toEqual([{ reason: "closed" }, { reason: "closed" }]);
  const closed = expect.objectContaining({ name: "PubSubError", code: "closed" });
  expect(() => pubsub.publish("a", "1", 1)).toThrow(closed);
  expect(() => pubsub.subscribe("a", "1")).toThrow(closed);
  expect(target.stats().listeners).toBe(0);
  expect(make(target).publish("a", "1", 1)).toBe(true);
});

test("closing the target ends its subscriptions, with its reason", async () => {
  const target = createInProcessEventTarget();
  const pubsub = make(target);
  const { ended } = read(pubsub.subscribe("a", "1"));
  const events = pubsub.subscribe("a", "1");
  await events.ready;
  target.close();
  await ended;
  expect(events.end).toEqual({ reason: "closed", detail: "closed by the program" });
  expect(() => pubsub.publish("a", "1", 1)).toThrow(expect.objectContaining({ code: "closed" }));
  const late = pubsub.subscribe("a", "1");
  expect(await late.next()).toEqual({ value: undefined, done: true });
  expect(late.end).toEqual({ reason: "closed" });
});

test("nothing keeps a target's listeners: a thousand subscriptions leave none", async () => {
  const target = createInProcessEventTarget();
  const pubsub = make(target);
  for (let i = 0; i < 1000; i++) {
    const events = pubsub.subscribe([
      ["a", String(i % 7)],
      ["b", ""],
    ]);
    events.next();
    events.return();
  }
  expect(target.stats()).toMatchObject({ topics: 0, listeners: 0 });
});
