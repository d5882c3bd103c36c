// Subscriptions: when they hear, and what becomes of what nobody reads. ready, loss_is_seen, bounded.
import { ensure, ensureEqual, FENCE, type Stage, show, unique } from "../stage.js";

const numbers = (count: number) => Array.from({ length: count }, (_, at) => at);

/** When `ready` has resolved, no event published from now on is missed, read or not. */
export async function ready({ publisher, subscriber, pubsub, publish, wait }: Stage): Promise<void> {
  const type = unique("call");
  for (const round of numbers(10)) {
    const events = pubsub(subscriber).subscribe(type, `${round}`);
    await wait("a subscription to be in place", events.ready);
    publish(publisher, type, `${round}`, 1, 2);
    for (const number of [1, 2]) {
      const { value } = await wait(
        `event ${number}, published when the subscription was ready`,
        events.next(),
      );
      ensureEqual((value as { payload?: unknown } | undefined)?.payload, number, "a ready subscription gave");
    }
    await events.return();
  }
}

/** The first `next()` registers at once: what this very turn publishes afterwards is heard. */
export async function readyFirstNext({ subscriber, pubsub, publish, wait, fixture }: Stage): Promise<void> {
  const type = unique("call");
  const events = pubsub(subscriber).subscribe(type, "");
  const first = events.next();
  if (fixture.capabilities.echo && fixture.inPlace === undefined) {
    publish(subscriber, type, "", 1, 2);
  } else {
    await fixture.inPlace?.(subscriber, `${type}:`);
    publish(subscriber, type, "", 1, 2);
  }
  for (const [number, next] of [[1, first] as const, [2, events.next()] as const]) {
    const { value } = await wait(`event ${number}, published in the turn of the first next()`, next);
    ensureEqual((value as { payload?: unknown } | undefined)?.payload, number, "the subscription gave");
  }
  await events.return();
}

/** What a subscriber's own queue lost is told, with the exact number, and as an item in its place where that is asked for. */
export async function lossIsSeen({
  publisher,
  subscriber,
  pubsub,
  listen,
  publish,
  ...stage
}: Stage): Promise<void> {
  const [type, log] = [unique("call"), stage.log()];
  const topic = `${type}:1`;
  const told = { oldest: 0, newest: 0, all: 0 };
  const topics = new Set<string>();
  const onLoss = (of: keyof typeof told) => (loss: unknown, at: readonly string[]) => {
    const { missed } = loss as { missed?: unknown };
    told[of] += typeof missed === "number" ? missed : Number.NaN;
    for (const name of at) topics.add(name);
  };
  const of = pubsub(subscriber);
  const oldest = of.subscribe(type, "1", { capacity: 4, losses: true, onLoss: onLoss("oldest") });
  const newest = of.subscribe(type, "1", {
    capacity: 4,
    losses: true,
    overflow: "drop-newest",
    onLoss: onLoss("newest"),
  });
  const all = of.subscribe(type, "1", { onLoss: onLoss("all") });
  const plain = of.subscribe(type, "1", { capacity: 4, onLoss: () => undefined });
  const subscriptions = [oldest, newest, all, plain];
  await stage.wait("subscriptions to be in place", Promise.all(subscriptions.map((events) => events.ready)));
  // Added last, it is called when the subscriptions have it already.
  await listen(subscriber, topic, log.listener(0));
  publish(publisher, type, "1", ...numbers(30), FENCE);
  await log.toFence(0);
  const read = async (events: (typeof subscriptions)[number], count: number) => {
    const items: unknown[] = [];
    while (items.length < count) {
      const { value, done } = await stage.wait(`item ${items.length} of ${count} in a queue`, events.next());
      if (done === true) break;
      const item = value as { type: string; payload?: unknown; missed?: unknown };
      items.push(item.type === "__lagged" ? `lagged ${show(item.missed)}` : item.payload);
    }
    return items;
  };
  ensureEqual(await read(oldest, 5), ["lagged 27", 27, 28, 29, FENCE], "a queue of 4, drop oldest, gives");
  ensureEqual(await read(newest, 5), [0, 1, 2, 3, "lagged 27"], "a queue of 4, drop newest, gives");
  ensureEqual(await read(all, 31), [...numbers(30), FENCE], "a queue that is long enough gives");
  ensureEqual(await read(plain, 4), [27, 28, 29, FENCE], "a queue of 4 whose losses are no items gives");
  ensureEqual(told, { oldest: 27, newest: 27, all: 0 }, "onLoss was told of");
  ensureEqual([...topics], [topic], "onLoss was told of the topics");
  const lost = subscriptions.map((events) => events.stats().lost);
  ensureEqual(lost, [27, 27, 0, 27], "the queues counted as lost");
  publish(publisher, type, "1", 1, FENCE);
  ensureEqual(await read(newest, 2), [1, FENCE], "read again, a queue gives");
  await Promise.all(subscriptions.map((events) => events.return()));
}

/** A subscriber's queue keeps its bound, whatever its policy, and harms nobody else: not the publisher, not a listener. */
export async function bounded({
  publisher,
  subscriber,
  pubsub,
  listen,
  publish,
  ...stage
}: Stage): Promise<void> {
  const [type, log] = [unique("call"), stage.log()];
  const policies = ["drop-oldest", "drop-newest", "error"] as const;
  const queues = policies.map((overflow) => {
    const events = pubsub(subscriber).subscribe(type, "1", {
      capacity: 3,
      overflow,
      onLoss: () => undefined,
    });
    return { overflow, events };
  });
  // The bound that nobody asked for.
  const usual = pubsub(subscriber).subscribe(type, "1", { onLoss: () => undefined });
  const all = [...queues.map(({ events }) => events), usual];
  await stage.wait("subscriptions to be in place", Promise.all(all.map((events) => events.ready)));
  await listen(subscriber, `${type}:1`, log.listener(0));
  const count = 1100;
  publish(publisher, type, "1", ...numbers(count), FENCE);
  ensureEqual((await log.toFence(0)).length, count + 1, "events that a listener beside full queues heard");
  for (const { overflow, events } of queues) {
    ensureEqual(events.stats().queued, 3, `events that wait in a queue of 3, ${overflow},`);
    for (const _ of numbers(3)) {
      const { done } = await stage.wait(`an event of a full queue, ${overflow}`, events.next());
      ensure(done !== true, `a full queue, ${overflow}, was done before what waited was read`);
    }
    if (overflow !== "error") {
      ensureEqual(
        [events.end, events.stats().lost],
        [undefined, count - 2],
        `a full queue, ${overflow}, has ended, and lost,`,
      );
      continue;
    }
    let thrown: unknown;
    await stage.wait(
      "the error of a full queue",
      events.next().then(undefined, (error: unknown) => (thrown = error)),
    );
    ensure(thrown instanceof Error, `a full queue, ${overflow}, gave ${show(thrown)} instead of an error`);
    ensureEqual((await events.next()).done, true, "after its error the subscription is done");
  }
  ensureEqual(usual.stats().queued, 1024, "events that wait in a queue of the usual size");
  await Promise.all(all.map((events) => events.return()));
}
