// What holds for every operator that gives a stream.
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import {
  batch,
  chain,
  dedupe,
  filter,
  flat,
  groupBy,
  join,
  map,
  pipe,
  type Source,
  type Stream,
  take,
  window,
} from "../../src/operators/index.js";
import { collect, manual, settled, watched } from "./sources.js";

type Operator = (source: Source<number>) => Stream<unknown>;

// Each passes at least the first value on, in some shape, without reading further than it.
const operators: Record<string, Operator> = {
  filter: filter(() => true),
  "filter async": filter(async () => true),
  map: map((value) => value),
  "map async": map(async (value) => value),
  take: take(1000),
  "batch by count": batch(1),
  "batch by time": batch({ count: 1, ms: 1000 }),
  dedupe: dedupe(),
  "dedupe by time": dedupe({ ms: 1000, key: async (value) => value }),
  window: window(1),
  "window by time": window({ ms: 1000 }),
  flat: flat(),
  "flat of arrays": pipe(flat(), (flat) => (source) => flat(map((value: number) => [value])(source))),
  groupBy: groupBy((value) => value),
  chain: (source) => chain(source),
  join: (source) => join(source),
  "a pipe": (source) =>
    pipe(
      source,
      filter(() => true),
      map((value) => value),
      flat(),
      take(1000),
    ),
};

describe.each(Object.entries(operators))("%s", (_name, operator) => {
  it("touches nothing before the first next(), which reaches the source before it returns", async () => {
    const source = watched([1, 2, 3]);
    const stream = operator(source);
    stream[Symbol.asyncIterator]();
    await settled();
    expect(source).toMatchObject({ started: 0, pulled: 0 });
    const first = stream.next();
    expect(source).toMatchObject({ started: 1, pulled: 1 });
    expect((await first).done).toBe(false);
  });

  it("registers a subscription in time for what is published on the next line", async () => {
    const { source, ...rest } = manual<number>();
    void rest;
    const control = manual<number>();
    const first = operator(control.source).next();
    expect(control.registered).toBe(1);
    control.push(7);
    expect((await first).done).toBe(false);
    await source.return();
  });

  it("reads nothing ahead", async () => {
    const source = watched([1, 2, 3]);
    const stream = operator(source);
    await stream.next();
    await settled();
    expect(source.pulled).toBe(1);
    await stream.next();
    await settled();
    expect(source.pulled).toBe(2);
  });

  it("ends with its source, and does not close what has ended", async () => {
    const source = watched([1, 2, 3]);
    const stream = operator(source);
    expect(await collect(stream)).toHaveLength(3);
    expect(await stream.next()).toEqual({ value: undefined, done: true });
    await stream.return();
    expect(source).toMatchObject({ pulled: 4, returned: 0 });
  });

  it("an empty source gives nothing", async () => {
    expect(await collect(operator(watched<number>([])))).toEqual([]);
  });

  it("break closes the source once", async () => {
    const source = watched([1, 2, 3]);
    const stream = operator(source);
    for await (const _ of stream) break;
    expect(source.returned).toBe(1);
    expect(await stream.next()).toEqual({ value: undefined, done: true });
    await stream.return();
    expect(source).toMatchObject({ pulled: 1, returned: 1 });
  });

  it("return() before the first next() closes the source", async () => {
    const source = watched([1]);
    const stream = operator(source);
    expect(await stream.return()).toEqual({ value: undefined, done: true });
    expect(source).toMatchObject({ pulled: 0, returned: 1 });
    expect(await stream.next()).toEqual({ value: undefined, done: true });
    expect(source.pulled).toBe(0);
  });

  it("return() while next() waits ends both and cleans up once", async () => {
    const control = manual<number>();
    const stream = operator(control.source);
    const waiting = [stream.next(), stream.next()];
    await Promise.all([stream.return(), stream.return()]);
    expect(control.removed).toBe(1);
    expect(await Promise.all(waiting)).toEqual(Array(2).fill({ value: undefined, done: true }));
  });

  it("return() waits for the clean-up of the source", async () => {
    let clean = false;
    async function* source() {
      try {
        yield 1;
      } finally {
        await settled();
        clean = true;
      }
    }
    const stream = operator(source());
    await stream.next();
    await stream.return();
    expect(clean).toBe(true);
  });

  it("a failing clean-up rejects return()", async () => {
    const cleanUp = new Error("clean-up");
    const stream = operator(watched([1], { cleanUp }));
    await stream.next();
    await expect(stream.return()).rejects.toBe(cleanUp);
    expect(await stream.next()).toEqual({ value: undefined, done: true });
  });

  it("throw() closes the source and rejects with the same error", async () => {
    const error = new Error("thrown");
    const source = watched([1, 2]);
    const stream = operator(source);
    await stream.next();
    await expect(stream.throw(error)).rejects.toBe(error);
    expect(source.returned).toBe(1);
    expect((await stream.next()).done).toBe(true);
  });

  it("an error of the source comes after the values, once, as the same object", async () => {
    const fail = { any: "object" };
    const source = watched([1, 2], { fail });
    const stream = operator(source);
    await stream.next();
    await stream.next();
    await expect(stream.next()).rejects.toBe(fail);
    expect(await stream.next()).toEqual({ value: undefined, done: true });
    expect(source).toMatchObject({ pulled: 3, returned: 0 });
  });

  it("a source that throws at once is an error like another", async () => {
    const error = new Error("at once");
    const source = {
      [Symbol.asyncIterator](): AsyncIterator<number> {
        throw error;
      },
    };
    await expect(operator(source).next()).rejects.toBe(error);
  });

  it("calls of next() that overlap are answered in order, the source asked one at a time", async () => {
    let running = 0;
    let most = 0;
    let n = 0;
    const source: AsyncIterableIterator<number> = {
      [Symbol.asyncIterator]: () => source,
      async next() {
        most = Math.max(most, ++running);
        await settled();
        running--;
        return { value: ++n, done: false };
      },
    };
    const stream = operator(source);
    const order: number[] = [];
    await Promise.all([1, 2, 3, 4].map((i) => stream.next().then(() => order.push(i))));
    expect(order).toEqual([1, 2, 3, 4]);
    expect(most).toBe(1);
    expect(n).toBe(4);
  });

  it("reads an array as a source", async () => {
    expect(await collect(operator([1, 2, 3]))).toHaveLength(3);
  });

  it("says at the call that a source cannot be iterated", () => {
    expect(() => operator(7 as unknown as Source<number>)).toThrow(
      new TypeError("a source must be iterable, not number"),
    );
    expect(() => operator(undefined as unknown as Source<number>)).toThrow(TypeError);
  });

  it.runIf(Symbol.asyncDispose)("is disposed of like return()", async () => {
    const source = watched([1]);
    const stream = operator(source);
    await stream[Symbol.asyncDispose]();
    expect(source.returned).toBe(1);
  });

  it("a long run of values that are ready grows no stack", async () => {
    const many = Array.from({ length: 20_000 }, (_, i) => i);
    let count = 0;
    for await (const _ of operator(many)) {
      if (++count === 1000) break;
    }
    expect(count).toBe(1000);
  });
});

describe("a callback that fails", () => {
  const failing = (error: unknown): Record<string, [sync: Operator, async: Operator]> => {
    const sync = () => {
      throw error;
    };
    const async = () => Promise.reject(error);
    return {
      filter: [filter(sync), filter(async)],
      map: [map(sync), map(async)],
      dedupe: [dedupe(sync), dedupe({ key: async })],
      groupBy: [groupBy(sync), groupBy(async)],
    };
  };
  for (const name of ["filter", "map", "dedupe", "groupBy"]) {
    it.each([0, 1])(
      `of ${name} closes the source, then rejects with the same error (async: %i)`,
      async (kind) => {
        const error = { code: "E" };
        const operator = failing(error)[name]?.[kind] as Operator;
        let closed = false;
        async function* source() {
          try {
            yield 1;
            yield 2;
          } finally {
            await settled();
            closed = true;
          }
        }
        const stream = operator(source());
        const [first, second] = [stream.next(), stream.next()];
        await expect(first).rejects.toBe(error);
        expect(closed).toBe(true);
        expect(await second).toEqual({ value: undefined, done: true });
      },
    );
  }

  it("that answers after the reader has gone asks the source for nothing", async () => {
    const source = watched([1, 2]);
    const stream = filter(async () => {
      await settled();
      return false;
    })(source);
    const waiting = stream.next();
    await null;
    await stream.return();
    expect((await waiting).done).toBe(true);
    await settled();
    await settled();
    expect(source).toMatchObject({ pulled: 1, returned: 1 });
  });

  it("is not called any more once the reader has gone", async () => {
    const called = vi.fn(() => true);
    async function* slow() {
      await settled();
      yield 1;
    }
    const stream = filter(called)(slow());
    const waiting = stream.next();
    const left = stream.return();
    expect((await waiting).done).toBe(true);
    await left;
    expect(called).not.toHaveBeenCalled();
  });
});

describe("operators say what is wrong with an option, at the call", () => {
  const wrong = <T>(value: T) => value as never;
  it.each<[string, () => unknown, Error]>([
    ["filter", () => filter(wrong(1)), new TypeError("filter: keep must be a function, not number")],
    ["map", () => map(wrong(undefined)), new TypeError("map: mapper must be a function, not undefined")],
    ["take", () => take(-1), new RangeError("take: count must be a whole number from 0 on, not -1")],
    ["take", () => take(1.5), new RangeError("take: count must be a whole number from 0 on, not 1.5")],
    ["take", () => take(Number.NaN), new RangeError("take: count must be a whole number from 0 on, not NaN")],
    ["batch", () => batch(0), new RangeError("batch: count must be a whole number from 1 on, not 0")],
    [
      "batch",
      () => batch({ ms: 0 }),
      new RangeError("batch: ms must be above 0 and at most 2147483647, not 0"),
    ],
    [
      "batch",
      () => batch({ ms: 2 ** 31 }),
      new RangeError("batch: ms must be above 0 and at most 2147483647, not 2147483648"),
    ],
    [
      "dedupe",
      () => dedupe({ key: wrong("id") }),
      new TypeError("dedupe: key must be a function, not string"),
    ],
    [
      "dedupe",
      () => dedupe({ last: 0 }),
      new RangeError("dedupe: last must be a whole number from 1 on, not 0"),
    ],
    [
      "dedupe",
      () => dedupe({ ms: Number.NaN }),
      new RangeError("dedupe: ms must be above 0 and at most Infinity, not NaN"),
    ],
    ["window", () => window({}), new RangeError("window: count must be a whole number from 1 on, not 0")],
    [
      "window",
      () => window({ count: 2, step: 0 }),
      new RangeError("window: step must be a whole number from 1 on, not 0"),
    ],
    [
      "window",
      () => window({ ms: -1 }),
      new RangeError("window: ms must be above 0 and at most Infinity, not -1"),
    ],
    ["groupBy", () => groupBy(wrong({})), new TypeError("groupBy: key must be a function, not object")],
    [
      "groupBy",
      () => groupBy(String, { buffer: 0 }),
      new RangeError("groupBy: buffer must be a whole number from 1 on, not 0"),
    ],
    [
      "groupBy",
      () => groupBy(String, { groups: 0 }),
      new RangeError("groupBy: groups must be a whole number from 1 on, not 0"),
    ],
    [
      "groupBy",
      () => groupBy(String, { overflow: wrong("drop") }),
      new RangeError("groupBy: overflow must be drop-oldest or drop-newest or error, not drop"),
    ],
  ])("%s: %s", (_name, call, error) => {
    expect(call).toThrow(error);
  });
});

it("any pipe of filter, map, take and flat is what it is on an array", async () => {
  const stage = fc.oneof(
    fc.nat(4).map((n) => ({ kind: "filter" as const, n })),
    fc.nat(4).map((n) => ({ kind: "map" as const, n })),
    fc.nat(12).map((n) => ({ kind: "take" as const, n })),
    fc.nat(3).map((n) => ({ kind: "repeat" as const, n })),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat(9), { maxLength: 12 }),
      fc.array(stage, { maxLength: 6 }),
      fc.boolean(),
      async (values, stages, later) => {
        let expected = values;
        const source = watched(values);
        let stream: AsyncIterable<number> = source;
        const answer = <T>(value: T) => (later ? Promise.resolve(value) : value);
        for (const { kind, n } of stages) {
          if (kind === "filter") {
            expected = expected.filter((value) => value % 5 >= n);
            stream = filter((value: number) => answer(value % 5 >= n))(stream);
          } else if (kind === "map") {
            expected = expected.map((value) => value + n);
            stream = map((value: number) => answer(value + n))(stream);
          } else if (kind === "take") {
            expected = expected.slice(0, n);
            stream = take(n)(stream);
          } else {
            expected = expected.flatMap((value) => Array<number>(n).fill(value));
            stream = flat()(map((value: number) => Array<number>(n).fill(value))(stream));
          }
        }
        expect(await collect(stream)).toEqual(expected);
        await settled();
        // Once closed, or ended by itself, or never touched because of a take(0).
        expect(source.returned).toBeLessThanOrEqual(1);
        if (source.pulled > values.length) expect(source.returned).toBe(0);
        else if (source.pulled > 0) expect(source.returned).toBe(1);
      },
    ),
  );
});
