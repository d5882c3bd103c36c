// Who hears what, how often and in which order.
import type { TargetEvent } from "../fixture.js";
import { ensure, ensureEqual, FENCE, payloadOf, type Stage, unique } from "../stage.js";

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => from + at);

/** Each event reaches each subscriber of its topic once, and none of another topic, type or id. */
export async function deliversOnce({ peers, publisher, listen, publish, log }: Stage): Promise<void> {
  const [one, other] = [unique("call.responded"), unique("message.sent")];
  const topics: [string, string][] = [
    [one, "1"],
    [one, "2"],
    [other, "1"],
  ];
  const logs = peers.subscribers.map(log);
  for (const [who, subscriber] of peers.subscribers.entries()) {
    for (const [at, [type, id]] of topics.entries()) {
      await listen(subscriber, `${type}:${id}`, logs[who]?.listener(at) ?? null);
    }
  }
  for (const round of numbers(0, 20)) {
    for (const [at, [type, id]] of topics.entries()) publish(publisher, type, id, 3 * round + at);
  }
  for (const [type, id] of topics) publish(publisher, type, id, FENCE);
  for (const [who, heard] of logs.entries()) {
    for (const at of topics.keys()) {
      const found = (await heard.toFence(at)) as number[];
      // Order is another law's business.
      const wanted = [...numbers(0, 20).map((round) => 3 * round + at), FENCE];
      ensureEqual(
        [...found].sort((a, b) => a - b),
        wanted,
        `subscriber ${who} heard on topic ${at}`,
      );
    }
  }
}

/** Topics are compared whole: no prefix, no wildcard, no case folding; an empty id and a colon in an id are ordinary. */
export async function deliversOnceExactTopic({ publisher, subscriber, ...stage }: Stage): Promise<void> {
  const type = unique("call");
  const topics: [string, string][] = [
    [type, "ab"],
    [type, "a"],
    [type, "abc"],
    [type, ""],
    [type, "*"],
    [type, "ab:c"],
    [`${type}.responded`, "ab"],
    [type.toUpperCase(), "ab"],
  ];
  const log = stage.log();
  for (const [by, [type, id]] of topics.entries())
    await stage.listen(subscriber, `${type}:${id}`, log.listener(by));
  for (const [at, [type, id]] of topics.entries()) stage.publish(publisher, type, id, at + 1);
  for (const [type, id] of topics) stage.publish(publisher, type, id, FENCE);
  for (const [by, [, id]] of topics.entries()) {
    ensureEqual(await log.toFence(by), [by + 1, FENCE], `the listener of topic ${by}, id "${id}", heard`);
  }
}

/**
 * A subscriber compares type and id, not only the topic that they make: `a` + `b:c` and `a:b` + `c` are one topic
 * and two subscriptions.
 */
export async function deliversOnceColons({
  publisher,
  subscriber,
  pubsub,
  publish,
  wait,
}: Stage): Promise<void> {
  const type = unique("call");
  const short = pubsub(subscriber).subscribe(type, "b:c");
  const long = pubsub(subscriber).subscribe(`${type}:b`, "c");
  const heard = [short.next(), long.next()];
  await wait("two subscriptions to be in place", Promise.all([short.ready, long.ready]));
  publish(publisher, type, "b:c", 1, 2);
  publish(publisher, `${type}:b`, "c", 3, 4);
  const first = await wait("the first event of two topics that read the same", Promise.all(heard));
  const second = await wait("the second event of them", Promise.all([short.next(), long.next()]));
  const found = [...first, ...second].map(({ value }) => (value as { payload: unknown }).payload);
  await Promise.all([short.return(), long.return()]);
  ensureEqual(
    found,
    [1, 3, 2, 4],
    "subscriptions to a type with b:c as id and to one with :b and c as id gave",
  );
}

/** All listeners of a topic get it, in the order in which they were added; who is added anew stands last. */
export async function manyListeners({
  publisher,
  subscriber,
  listen,
  publish,
  ...stage
}: Stage): Promise<void> {
  const [type, log] = [unique("call"), stage.log()];
  const topic = `${type}:1`;
  const [first, second] = [log.listener(0), log.listener(1)];
  for (const listener of [first, second, log.listener(2), log.listener(3)])
    await listen(subscriber, topic, listener);
  const calls = async (count: number) => {
    await log.until(`${count} calls of listeners`, (calls) => calls.length >= count);
    return log.calls.map(({ by }) => by);
  };
  publish(publisher, type, "1", 1);
  ensureEqual(await calls(4), [0, 1, 2, 3], "the listeners were called in the order");
  subscriber.removeEventListener(topic, first);
  await listen(subscriber, topic, first);
  publish(publisher, type, "1", 2);
  ensureEqual(
    (await calls(8)).slice(4),
    [1, 2, 3, 0],
    "after a change the listeners were called in the order",
  );
  subscriber.removeEventListener(topic, second);
  publish(publisher, type, "1", 3, FENCE);
  ensureEqual(
    (await calls(14)).slice(8),
    [2, 3, 0, 2, 3, 0],
    "after a removal the listeners were called in the order",
  );
}

/** The same callback on a topic counts once, and in its first place, as in the DOM; on two topics it counts twice. */
export async function manyListenersSame({
  publisher,
  subscriber,
  listen,
  publish,
  ...stage
}: Stage): Promise<void> {
  const [type, log] = [unique("call"), stage.log()];
  const both = log.listener(0);
  const object = { handleEvent: log.listener(1) };
  for (const listener of [both, object, log.listener(2), both, object])
    await listen(subscriber, `${type}:1`, listener);
  await listen(subscriber, `${type}:2`, both);
  // An absent callback is no listener and no error.
  subscriber.addEventListener(`${type}:1`, null);
  publish(publisher, type, "1", 1);
  publish(publisher, type, "2", 2);
  publish(publisher, type, "1", FENCE);
  await log.toFence(2);
  const calls = log.calls.map(({ by, event }) => [by, payloadOf(event)]);
  const wanted = [0, 1, 2].map((by) => [by, 1]);
  wanted.push([0, 2], ...[0, 1, 2].map((by) => [by, FENCE]));
  ensureEqual(calls, wanted, "with two listeners that were added twice, the calls and their payloads");
  // Removed once, it is gone, however often it was added.
  subscriber.removeEventListener(`${type}:1`, both);
  publish(publisher, type, "1", 3, FENCE);
  await log.toFence(2, 2);
  ensureEqual(log.payloads(0), [1, 2, FENCE], "a listener that was added twice and removed once heard");
}

/** An object's `handleEvent` is looked up when an event is there, and called as the object's method. */
export async function manyListenersHandleEvent({ publisher, subscriber, ...stage }: Stage): Promise<void> {
  const [type, log] = [unique("call"), stage.log()];
  const self: unknown[] = [];
  const object = {
    handleEvent(this: unknown, event: TargetEvent) {
      self.push(this);
      log.write(0, event);
    },
  };
  await stage.listen(subscriber, `${type}:1`, object);
  await stage.listen(subscriber, `${type}:1`, log.listener(2));
  stage.publish(publisher, type, "1", 1, FENCE);
  await log.toFence(2);
  object.handleEvent = log.listener(1);
  stage.publish(publisher, type, "1", 2, FENCE);
  await log.toFence(2, 2);
  ensureEqual(log.payloads(0), [1, FENCE], "handleEvent heard, until another took its place,");
  ensureEqual(log.payloads(1), [2, FENCE], "the handleEvent that took its place heard");
  ensure(
    self.length === 2 && self.every((of) => of === object),
    "handleEvent was not called as the object's method",
  );
}

/** What one publisher says on a topic arrives in that order, all of it. */
export const order = (stage: Stage): Promise<void> => inOrder(stage, ["1"]);

/** What one publisher says over one connection arrives in that order across topics. */
export const orderAcrossTopics = (stage: Stage): Promise<void> => inOrder(stage, ["1", "2", "3"]);

async function inOrder({ peers, publisher, listen, publish, log }: Stage, ids: string[]): Promise<void> {
  const type = unique("call");
  const logs = peers.subscribers.map(log);
  for (const [who, subscriber] of peers.subscribers.entries()) {
    // A listener each, as one that is shared would count for less.
    for (const id of ids) await listen(subscriber, `${type}:${id}`, logs[who]?.listener(0) ?? null);
  }
  const sent = [...numbers(0, 500), FENCE];
  for (const [at, number] of sent.entries()) publish(publisher, type, ids[at % ids.length] ?? "", number);
  for (const [who, heard] of logs.entries()) {
    const found = await heard.toFence(0);
    const wrong = found.findIndex((payload, at) => payload !== sent[at]);
    const around = found.slice(Math.max(0, wrong - 2), wrong + 3).join(", ");
    ensure(
      wrong < 0,
      `subscriber ${who} heard ${found[wrong]} in the place ${wrong}, in the middle of ${around}`,
    );
    ensureEqual(found.length, sent.length, `subscriber ${who} heard so many events`);
  }
}

/** One subscription to several topics gives their events in the order in which they were published. */
export async function orderSubscription({
  publisher,
  subscriber,
  pubsub,
  publish,
  wait,
}: Stage): Promise<void> {
  const [type, other] = [unique("call"), unique("done")];
  const events = pubsub(subscriber).subscribe([
    [type, "1"],
    [other, ""],
    [type, "2"],
  ]);
  await wait("a subscription to three topics to be in place", events.ready);
  const sent = numbers(0, 30);
  for (const number of sent) {
    const [of, id] = number % 3 === 0 ? [other, ""] : [type, `${number % 3}`];
    publish(publisher, of, id, number);
  }
  const found: unknown[] = [];
  while (found.length < sent.length) {
    const { value, done } = await wait(`event ${found.length} of three topics`, events.next());
    ensure(done !== true, `the subscription ended after ${found.length} of ${sent.length} events`);
    found.push((value as { payload: unknown }).payload);
  }
  await events.return();
  ensureEqual(found, sent, "one subscription to three topics gave");
}

/** A publisher that listens gets its own event, once, like everyone else. */
export async function echo({ peers, publisher, listen, publish, ...stage }: Stage): Promise<void> {
  const type = unique("call");
  const ears = [...new Set([publisher, ...peers.subscribers])];
  const logs = ears.map(stage.log);
  for (const [who, ear] of ears.entries()) await listen(ear, `${type}:1`, logs[who]?.listener(0) ?? null);
  // Two fences: a second copy of anything before them stands before the last.
  publish(publisher, type, "1", 1, 2, 3, FENCE, FENCE);
  for (const [who, log] of logs.entries()) {
    const of = who === 0 ? "the publisher heard of its own events" : `subscriber ${who} heard`;
    ensureEqual(await log.toFence(0, 2), [1, 2, 3, FENCE, FENCE], of);
  }
}
