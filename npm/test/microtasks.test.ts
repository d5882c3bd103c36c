// Order across topics holds to the microtask: no item may come later than it did with repeaterjs.

import { setImmediate } from "node:timers/promises";
import { Repeater as Bare } from "@repeaterjs/repeater";
import { expect, test } from "vitest";
import { createPubSub, Repeater } from "../src/index.js";

/** Counts the microtasks until `item` is handed to who awaits it. */
async function microtasks(item: () => Promise<unknown>): Promise<number> {
  await setImmediate();
  let count = 0;
  let running = true;
  const tick = (): void => {
    if (!running) return;
    count++;
    Promise.resolve().then(tick);
  };
  Promise.resolve().then(tick);
  await item();
  running = false;
  return count;
}

/** A topic of the ancestors: a bare Repeater that a listener pushes to. */
function bare() {
  let push: (value: number) => void = () => {};
  const events = new Bare<number>((pushed) => {
    push = pushed;
  });
  return { events, publish: (n: number) => push(n) };
}

function ours() {
  const pubsub = createPubSub<{ a: number }>();
  return { events: pubsub.subscribe("a", ""), publish: (n: number) => pubsub.publish("a", "", n) };
}

interface Topic {
  events: { next(): Promise<unknown> };
  publish(n: number): unknown;
}

const waiting = ({ events, publish }: Topic) =>
  microtasks(() => {
    const next = events.next();
    publish(1);
    return next;
  });

async function queued({ events, publish }: Topic) {
  const first = events.next();
  publish(1);
  publish(2);
  await first;
  return microtasks(() => events.next());
}

test("an item that is waited for takes one microtask, and no more than with repeaterjs", async () => {
  const [own, theirs] = [await waiting(ours()), await waiting(bare())];
  expect(own).toBeLessThanOrEqual(theirs);
  expect(own).toBe(1);
});

test("an item that was queued takes one microtask, and no more than with repeaterjs", async () => {
  const [own, theirs] = [await queued(ours()), await queued(bare())];
  expect(own).toBeLessThanOrEqual(theirs);
  expect(own).toBe(1);
});

/** How requests are answered on the ancestors: data on one topic, the end on another, a loop on each. */
async function call(handler: AsyncIterable<string>): Promise<string> {
  const pubsub = createPubSub<{ responded: string; completed: undefined }>();
  let push: (value: string) => void = () => {};
  let stop = () => {};
  const answers = new Repeater<string>((pushed, stopped) => {
    push = pushed;
    stop = stopped;
  });
  void (async () => {
    for await (const { payload } of pubsub.subscribe("responded", "")) push(payload);
  })();
  void (async () => {
    for await (const _ of pubsub.subscribe("completed", "")) stop();
  })();
  const whole = (async () => {
    let all = "";
    for await (const answer of answers) all += answer;
    return all;
  })();
  for await (const answer of handler) pubsub.publish("responded", "", answer);
  pubsub.publish("completed", "", undefined);
  return whole;
}

async function* handler() {
  yield "a";
  yield "b";
}

async function* delegating(source: AsyncGenerator<string>): AsyncGenerator<string> {
  try {
    yield* source;
  } finally {
    await source.return(undefined);
  }
}

test("B5 an end on one topic does not overtake the data on another", async () => {
  // With repeaterjs "b" is lost in the first case, for it is read later than the end.
  expect(await call(handler())).toBe("ab");
  expect(await call(delegating(handler()))).toBe("ab");
  expect(await call(delegating(delegating(handler())))).toBe("ab");
});

test("B5 published in one go, two topics keep their order in one subscription", async () => {
  const pubsub = createPubSub<{ responded: string; completed: string }>();
  const events = pubsub.subscribe([
    ["responded", ""],
    ["completed", ""],
  ]);
  await events.ready;
  for (const payload of ["a", "b"]) pubsub.publish("responded", "", payload);
  pubsub.publish("completed", "", "end");
  let all = "";
  for await (const { type, payload } of events) {
    if (type === "completed") break;
    all += payload;
  }
  expect(all).toBe("ab");
});
