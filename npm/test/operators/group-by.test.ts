import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { type Group, groupBy, map, pipe, toArray } from "../../src/operators/index.js";
import { byHand, collect, manual, settled, watched } from "./sources.js";

type Entry = [key: string, value: number];
const entries = (text: string) =>
  text.split(" ").map((word): Entry => [word.slice(0, 1), Number(word.slice(1))]);
const key = ([key]: Entry) => key;
const value = ([, value]: Entry) => value;
const next = async <T>(stream: AsyncIterator<T>) => (await stream.next()).value as T;

describe("groupBy", () => {
  it("sorts into one stream per key, whoever reads when", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(30), { maxLength: 30 }),
        fc.boolean(),
        fc.boolean(),
        async (values, later, inline) => {
          const by = (value: number) => (later ? Promise.resolve(value % 4) : value % 4);
          const expected = new Map<number, number[]>();
          for (const value of values) expected.set(value % 4, [...(expected.get(value % 4) ?? []), value]);
          const got: [number, number[] | Promise<number[]>][] = [];
          for await (const group of pipe(watched(values), groupBy<number, number | Promise<number>>(by))) {
            got.push([group.key as number, inline ? await collect(group) : collect(group)]);
          }
          const all = await Promise.all(got.map(async ([key, values]) => [key, await values] as const));
          expect(all).toEqual([...expected]);
        },
      ),
    ));

  it("reads while somebody waits, and no further", async () => {
    const source = watched(entries("a1 b2 a3 b4 a5"));
    const groups = groupBy(key)(source);
    const a = await next(groups);
    await settled();
    expect(source.pulled).toBe(1);
    // The value that opened the group is there already.
    expect(value(await next(a))).toBe(1);
    expect(source.pulled).toBe(1);
    expect(value(await next(a))).toBe(3);
    await settled();
    expect(source.pulled).toBe(3);
    const b = await next(groups);
    expect([a.key, b.key]).toEqual(["a", "b"]);
    expect(source.pulled).toBe(3);
    expect(await pipe(b, map(value), toArray())).toEqual([2, 4]);
    expect(await pipe(a, map(value), toArray())).toEqual([5]);
    expect((await groups.next()).done).toBe(true);
  });

  it("a group that nobody reads blocks nobody, holds so many, and tells what it lost", async () => {
    const ones = Array.from({ length: 5000 }, (_, i): Entry => ["a", i]);
    const lost = vi.fn();
    const source = watched([...ones, ...entries("b1 b2")]);
    const groups = pipe(source, groupBy(key, { onLoss: lost }));
    const a = await next(groups);
    const b = await next(groups);
    expect(await pipe(b, map(value), toArray())).toEqual([1, 2]);
    expect(await pipe(a, map(value), toArray())).toEqual(ones.slice(-1024).map(value));
    expect(lost.mock.calls).toEqual(ones.slice(0, -1024).map((entry) => [entry, "a"]));
  });

  it.each([
    ["drop-oldest", [3, 4], [1, 2]],
    ["drop-newest", [1, 2], [3, 4]],
    ["error", [1, 2], [3, 4]],
  ] as const)("overflow %s", async (overflow, kept, dropped) => {
    const lost: number[] = [];
    const groups = groupBy(key, { buffer: 2, overflow, onLoss: (entry) => lost.push(value(entry)) })(
      watched(entries("a1 a2 a3 a4 b1")),
    );
    const a = await next(groups);
    const b = await next(groups);
    expect(await collect(groups)).toEqual([]);
    expect(lost).toEqual(dropped);
    expect([value(await next(a)), value(await next(a))]).toEqual(kept);
    if (overflow === "error") {
      await expect(a.next()).rejects.toThrow(new RangeError("groupBy: a group held 2 values"));
    }
    expect((await a.next()).done).toBe(true);
    expect((await collect(b)).map(value)).toEqual([1]);
  });

  it("leaving a group passes over its key, and closes nothing else", async () => {
    const lost = vi.fn();
    const source = watched(entries("a1 a2 b1 a3 b2"));
    const keys: string[] = [];
    const rest: Promise<Entry[]>[] = [];
    for await (const group of pipe(source, groupBy(key, { buffer: 1, onLoss: lost }))) {
      keys.push(group.key);
      if (group.key === "a") for await (const _ of group) break;
      else rest.push(collect(group));
    }
    expect(keys).toEqual(["a", "b"]);
    expect((await Promise.all(rest)).flat().map(value)).toEqual([1, 2]);
    expect(source.returned).toBe(0);
    expect(lost).not.toHaveBeenCalled();
  });

  it("leaving the stream of groups closes the source once, and groups end after what they hold", async () => {
    const control = manual<Entry>();
    const groups = groupBy(key)(control.source);
    const first = groups.next();
    control.push(["a", 1]);
    const a = (await first).value as Group<string, Entry>;
    const second = groups.next();
    control.push(["a", 2]);
    control.push(["b", 1]);
    const b = (await second).value as Group<string, Entry>;
    await next(b);
    const waiting = b.next();
    const third = groups.next();
    await groups.return();
    expect(control.removed).toBe(1);
    expect((await third).done).toBe(true);
    expect((await waiting).done).toBe(true);
    expect((await collect(a)).map(value)).toEqual([1, 2]);
  });

  it("the group longest without a value makes room for a new key, which loses nothing that was handed out", async () => {
    const lost = vi.fn();
    const source = watched(entries("a1 b1 a2 c1 b2 a3"));
    const groups = await pipe(source, groupBy(key, { groups: 2, onLoss: lost }), toArray());
    // c ended b, which had waited longer than a; then b ended a, then a ended c. None of these had been handed out.
    expect(lost.mock.calls).toEqual([]);
    expect(groups.map((group) => group.key)).toEqual(["a", "b", "c", "b", "a"]);
    const values = await Promise.all(groups.map((group) => pipe(group, map(value), toArray())));
    expect(values).toEqual([[1, 2], [1], [1], [2], [3]]);
  });

  it("a group that is ended for room before it was handed out is lost, and told", async () => {
    const lost: Entry[] = [];
    const source = watched(entries("a1 b1 c1 d1 b2 a2"));
    const groups = groupBy(key, { groups: 3, onLoss: (entry) => lost.push(entry) })(source);
    const a = await next(groups);
    await next(a);
    // Reads on for a, so that nobody takes the other groups.
    const ended = a.next();
    expect((await ended).done).toBe(true);
    // d ended a. Nobody waits any more.
    expect(source.pulled).toBe(4);
    expect(lost).toEqual([]);
    const b = await next(groups);
    const waiting = b.next();
    expect(value((await waiting).value as Entry)).toBe(1);
    expect(value(await next(b))).toBe(2);
    expect((await b.next()).done).toBe(true);
    // a came back and ended c, which nobody had taken.
    expect(lost).toEqual([["c", 1]]);
    expect((await collect(groups)).map((group) => group.key)).toEqual(["d", "a"]);
  });

  it("memory is bounded with keys that never come again", async () => {
    const many = Array.from({ length: 5000 }, (_, i) => i);
    const source = watched([-1, ...many]);
    let lost = 0;
    const groups = groupBy((n: number) => n, { groups: 10, onLoss: () => lost++ })(source);
    const first = await next(groups);
    await next(first);
    // Ended for room by the tenth new key.
    expect((await first.next()).done).toBe(true);
    expect(source.pulled).toBe(11);
    expect(lost).toBe(0);
  });

  it("an error comes to the stream of groups and to the groups, each after what it holds", async () => {
    const fail = new Error("source");
    const groups = groupBy(key)(watched(entries("a1 b1 b2"), { fail }));
    const a = await next(groups);
    await next(a);
    await expect(a.next()).rejects.toBe(fail);
    const b = await next(groups);
    await expect(groups.next()).rejects.toBe(fail);
    expect([value(await next(b)), value(await next(b))]).toEqual([1, 2]);
    await expect(b.next()).rejects.toBe(fail);
    expect((await groups.next()).done).toBe(true);
  });

  it("a key that fails closes the source at once, also while only a group is being read", async () => {
    const error = new Error("key");
    const source = watched([1, 2, 3]);
    const groups = groupBy((n: number) => {
      if (n === 2) throw error;
      return n;
    })(source);
    const one = await next(groups);
    expect(await next(one)).toBe(1);
    await expect(one.next()).rejects.toBe(error);
    expect(source.returned).toBe(1);
    await expect(groups.next()).rejects.toBe(error);
    expect(source).toMatchObject({ pulled: 2, returned: 1 });
  });

  it("a group that is left while it waits is no reason to read on", async () => {
    const { source, give, pulled } = byHand<Entry>();
    const groups = groupBy(key)(source);
    const first = groups.next();
    give(["a", 1]);
    const a = (await first).value as Group<string, Entry>;
    await next(a);
    const waiting = a.next();
    expect(pulled()).toBe(2);
    await a.return();
    expect((await waiting).done).toBe(true);
    give(["b", 1]);
    await settled();
    expect(pulled()).toBe(2);
    expect((await next(groups)).key).toBe("b");
  });

  it("an onLoss that throws is an error like that of a callback", async () => {
    const error = new Error("onLoss");
    const source = watched(entries("a1 a2 a3"));
    const onLoss = () => {
      throw error;
    };
    const groups = groupBy(key, { buffer: 1, onLoss })(source);
    const a = await next(groups);
    await expect(groups.next()).rejects.toBe(error);
    expect(source.returned).toBe(1);
    expect(value(await next(a))).toBe(2);
    await expect(a.next()).rejects.toBe(error);
  });
});
