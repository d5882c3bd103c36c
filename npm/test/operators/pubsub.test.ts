// The operators on real subscriptions.
import { describe, expect, it } from "vitest";
import { createPubSub } from "../../src/index.js";
import { chain, filter, groupBy, join, map, pipe, take, toArray } from "../../src/operators/index.js";
import { collect } from "./sources.js";

type Events = { added: number; removed: string };

/** An EventTarget that counts its listeners. */
class Counting extends EventTarget {
  listeners = 0;
  override addEventListener(...args: Parameters<EventTarget["addEventListener"]>) {
    this.listeners++;
    super.addEventListener(...args);
  }
  override removeEventListener(...args: Parameters<EventTarget["removeEventListener"]>) {
    this.listeners--;
    super.removeEventListener(...args);
  }
}

describe("operators on subscriptions", () => {
  it("hear what is published on the line after the first next(), and leave nothing behind", async () => {
    const eventTarget = new Counting();
    const pubsub = createPubSub<Events>({ eventTarget: eventTarget as never });
    const events = pipe(
      pubsub.subscribe("added", "a"),
      filter(({ payload }) => payload > 1),
      map(({ id, payload }) => `${id}${payload}`),
      take(2),
      toArray(),
    );
    expect(eventTarget.listeners).toBe(1);
    for (const n of [1, 2, 3, 4]) pubsub.publish("added", "a", n);
    expect(await events).toEqual(["a2", "a3"]);
    expect(eventTarget.listeners).toBe(0);
  });

  it("join listens to all of them from its first next() on; chain to one after the other", async () => {
    const eventTarget = new Counting();
    const pubsub = createPubSub<Events>({ eventTarget: eventTarget as never });
    const both = join(pubsub.subscribe("added", ""), pubsub.subscribe("removed", ""));
    const first = both.next();
    expect(eventTarget.listeners).toBe(2);
    pubsub.publish("removed", "", "x");
    pubsub.publish("added", "", 1);
    expect((await first).value).toMatchObject({ payload: "x" });
    expect((await both.next()).value).toMatchObject({ payload: 1 });
    await both.return();
    expect(eventTarget.listeners).toBe(0);

    const payload = map(({ payload }: { payload: number }) => payload);
    const stream = chain([1, 2], pipe(pubsub.subscribe("added", ""), payload));
    await stream.next();
    expect(eventTarget.listeners).toBe(0);
    await stream.next();
    const live = stream.next();
    await Promise.resolve();
    expect(eventTarget.listeners).toBe(1);
    pubsub.publish("added", "", 3);
    expect((await live).value).toBe(3);
    await stream.return();
    expect(eventTarget.listeners).toBe(0);
  });

  it("a group that nobody reads keeps no other one from its events", async () => {
    const pubsub = createPubSub<Events>();
    const groups = groupBy(({ payload }: { payload: number }) => payload % 2)(
      pipe(pubsub.subscribe("added", ""), take(6)),
    );
    const first = groups.next();
    for (const n of [1, 2, 3, 4, 5, 6]) pubsub.publish("added", "", n);
    expect((await first).value).toMatchObject({ key: 1 });
    for await (const even of groups)
      expect((await collect(even)).map(({ payload }) => payload)).toEqual([2, 4, 6]);
  });
});
