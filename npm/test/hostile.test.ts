// What goes wrong around the package: targets that answer at once, throw or say nothing, a console that fails, wrong
// arguments from JavaScript.
import { afterEach, expect, test, vi } from "vitest";
import { createInProcessEventTarget, createPubSub, type PubSubError, type TypedEvent } from "../src/index.js";

type Events = { a: number; b: number };
type Listener = (event: TypedEvent) => void;

/** A target with capabilities; `added` is called before a listener is kept. */
function remote(
  added: (name: string, dispatch: (name: string, detail?: unknown) => void) => void = () => {},
) {
  const listeners = new Map<string, Set<Listener>>();
  const dispatch = (type: string, detail?: unknown) => {
    for (const listener of [...(listeners.get(type) ?? [])]) listener({ type, detail } as TypedEvent);
  };
  const target = {
    capabilities: {
      echo: false,
      order: "connection",
      carries: "json",
      lifetime: "outlives",
      confirms: true,
    } as const,
    addEventListener(name: string, listener: Listener) {
      added(name, dispatch);
      listeners.set(name, (listeners.get(name) ?? new Set()).add(listener));
    },
    removeEventListener: (name: string, listener: Listener) => void listeners.get(name)?.delete(listener),
    dispatchEvent({ type, detail }: TypedEvent) {
      dispatch(type, detail);
      return true;
    },
  };
  const count = () => [...listeners.values()].reduce((sum, set) => sum + set.size, 0);
  return { target, dispatch, count };
}

const codeOf = (call: () => unknown) => {
  try {
    call();
  } catch (error) {
    return (error as PubSubError).code;
  }
  return undefined;
};

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

test("who chose nothing is told of a first loss of many, once", () => {
  const said = vi.spyOn(console, "error").mockReturnValue();
  const { target, dispatch } = remote();
  const events = createPubSub<Events>({ eventTarget: target }).subscribe("a", "");
  void events.ready;
  for (let n = 0; n < 2; n++) dispatch("gap", { missed: 5, reason: "slow" });
  expect(said).toHaveBeenCalledTimes(1);
  expect(events.stats().lost).toBe(10);
});

test.each(["gap", "close", "denied"])("a %s without any detail throws nothing into its target", (name) => {
  const { target, dispatch } = remote();
  const onLoss = vi.fn();
  void createPubSub<Events>({ eventTarget: target, onLoss }).subscribe("a", "").ready;
  for (const detail of [undefined, null]) expect(() => dispatch(name, detail)).not.toThrow();
});

test("a subscription that is left while a gap is told hears of it no more", async () => {
  const { target, dispatch } = remote();
  const pubsub = createPubSub<Events>({ eventTarget: target });
  const told = vi.fn();
  const first = pubsub.subscribe("a", "", { onLoss: () => void second.return() });
  const second = pubsub.subscribe("b", "", { onLoss: told, losses: true });
  void first.ready;
  void second.ready;
  dispatch("gap", { missed: null, reason: "broker" });
  expect(told).not.toHaveBeenCalled();
  expect(second.stats().gaps).toBe(0);
  expect(await second.next()).toEqual({ value: undefined, done: true });
});

test("a target that refuses within addEventListener keeps no listener", async () => {
  const refusal = { topic: "a:", action: "subscribe", reason: "not_allowed" };
  const { target, count } = remote((name, dispatch) => {
    if (name === "a:") dispatch("denied", refusal);
  });
  const events = createPubSub<Events>({ eventTarget: target }).subscribe([
    ["a", ""],
    ["b", ""],
  ]);
  expect(await events.ready).toMatchObject({ status: "denied" });
  expect(count()).toBe(0);
});

test.each([{ status: "denied", reason: "not_allowed" } as const, { status: "closed" } as const])(
  "a target whose ready alone says $status ends the subscription",
  async (answer) => {
    const { target, count } = remote();
    const eventTarget = Object.assign(target, { ready: async () => answer });
    const events = createPubSub<Events>({ eventTarget }).subscribe("a", "");
    const next = events.next();
    expect(await events.ready).toEqual({ ...answer, topic: "a:" });
    expect(await next).toEqual({ value: undefined, done: true });
    expect(events.end?.reason).toBe(answer.status);
    expect(count()).toBe(0);
  },
);

test("a signal that is aborted within addEventListener leaves no listener", () => {
  const controller = new AbortController();
  const { target, count } = remote((name) => {
    if (name === "a:") controller.abort();
  });
  const { signal } = controller;
  const events = createPubSub<Events>({ eventTarget: target }).subscribe("a", "", { signal });
  void events.ready;
  expect(events.end).toEqual({ reason: "aborted" });
  expect(count()).toBe(0);
});

test("a target that throws when a listener is removed is reported, and holds nobody up", async () => {
  const onError = vi.fn();
  const failure = new Error("not connected");
  const target = Object.assign(remote().target, {
    removeEventListener() {
      throw failure;
    },
  });
  const pubsub = createPubSub<Events>({ eventTarget: target, onError });
  const waiting = (["a", "b"] as const).map((type) => pubsub.subscribe(type, "").next());
  pubsub.close();
  for (const next of waiting) expect(await next).toEqual({ value: undefined, done: true });
  expect(onError).toHaveBeenCalledWith(failure);
});

test("a PubSubError is made, and named in its stack, where Error.prototype is frozen", () => {
  const own = Object.getOwnPropertyDescriptor(Error.prototype, "name") as PropertyDescriptor;
  Object.defineProperty(Error.prototype, "name", { ...own, writable: false });
  try {
    expect(codeOf(() => createPubSub().publish("", "", 1))).toBe("bad_topic");
  } finally {
    Object.defineProperty(Error.prototype, "name", own);
  }
  expect(() => createPubSub().publish("", "", 1)).toThrow(
    expect.objectContaining({ name: "PubSubError", stack: expect.stringMatching(/^PubSubError: /) }),
  );
});

test("an onLoss that is undefined is none: that of createPubSub is told", () => {
  const onLoss = vi.fn();
  const pubsub = createPubSub<Events>({ onLoss });
  void pubsub.subscribe("a", "", { capacity: 1, onLoss: undefined as never }).ready;
  for (const n of [1, 2]) pubsub.publish("a", "", n);
  expect(onLoss).toHaveBeenCalledTimes(1);
});

test.each([
  ["a promise", Promise.resolve()],
  ["a function that throws", () => Reflect.apply(undefined as never, undefined, [])],
  ["a function that rejects", () => Promise.reject(new Error("gone"))],
  ["a function that says nothing", () => Promise.resolve()],
])("a target whose ready is %s cannot say", async (_, ready) => {
  const target = Object.assign(new EventTarget(), { ready });
  Object.setPrototypeOf(target, Object.create(EventTarget.prototype));
  const events = createPubSub<Events>({ eventTarget: target as never }).subscribe("a", "");
  expect(await events.ready).toMatchObject({ status: "unconfirmed" });
});

test("what is no signal is refused before the listener is added", () => {
  const target = createInProcessEventTarget();
  expect(() => target.addEventListener("a:", () => {}, { signal: {} as never })).toThrow(TypeError);
  expect(target.stats().listeners).toBe(0);
});

test.each([
  ["null", null],
  ["without error()", {}],
  [
    "that throws",
    {
      error() {
        throw new Error("closed pipe");
      },
    },
  ],
])("a console %s stops no listener", (_, stub) => {
  vi.stubGlobal("console", stub);
  const target = createInProcessEventTarget();
  const heard = vi.fn();
  target.addEventListener("a:", () => {
    throw new Error("listener");
  });
  target.addEventListener("a:", heard);
  createPubSub<Events>({ eventTarget: target }).publish("a", "", 1);
  vi.unstubAllGlobals();
  expect(heard).toHaveBeenCalledTimes(1);
});

const topics = [null, "ab", 5, {}, () => {}, [null], [undefined], ["ab", "cd"], [5], [{}], [["a"]], [[]], []];
test.each(topics.map((wrong) => ({ wrong })))("no topic, nor a list of them: %j", ({ wrong }) => {
  expect(codeOf(() => createPubSub().subscribe(wrong as never))).toBe("bad_topic");
});

const targets = [5, "x", {}, [], () => {}, { on() {}, emit() {} }];
test.each(targets.map((eventTarget) => ({ eventTarget })))("no event target: %j", ({ eventTarget }) => {
  expect(() => createPubSub({ eventTarget: eventTarget as never })).toThrow(
    /^eventTarget.dispatchEvent must be a function/,
  );
});
