// filter, map, take, reduce, toArray, flat, chain, pipe.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  chain,
  filter,
  flat,
  map,
  pipe,
  reduce,
  type Source,
  take,
  toArray,
} from "../../src/operators/index.js";
import { collect, manual, settled, watched } from "./sources.js";

const numbers = fc.array(fc.nat(9), { maxLength: 20 });

describe("filter and map", () => {
  it("call back for one value at a time, in order, however long each takes", async () => {
    const log: string[] = [];
    const slow = async (value: number) => {
      log.push(`begin ${value}`);
      for (let i = value; i < 4; i++) await settled();
      log.push(`end ${value}`);
      return value;
    };
    const source = watched([1, 2, 3]);
    expect(await collect(pipe(source, map(slow)))).toEqual([1, 2, 3]);
    expect(log).toEqual([1, 2, 3].flatMap((n) => [`begin ${n}`, `end ${n}`]));
  });

  it("pass null and undefined as they are", async () => {
    expect(
      await collect(
        pipe(
          [null, undefined, 0],
          filter(() => true),
          map((v) => v),
        ),
      ),
    ).toEqual([null, undefined, 0]);
  });

  it("an operator can be applied to several sources", async () => {
    const two = take(2);
    expect(await collect(two([1, 2, 3]))).toEqual([1, 2]);
    expect(await collect(two([4, 5, 6]))).toEqual([4, 5]);
  });
});

describe("take", () => {
  it("is the beginning of the array, and reads no further", () =>
    fc.assert(
      fc.asyncProperty(numbers, fc.nat(25), async (values, count) => {
        const source = watched(values);
        expect(await collect(take(count)(source))).toEqual(values.slice(0, count));
        expect(source.pulled).toBe(count > values.length ? values.length + 1 : count);
        expect(source.returned).toBe(count > 0 && count <= values.length ? 1 : 0);
      }),
    ));

  it("take(0) never touches the source", async () => {
    const source = watched([1]);
    const stream = take(0)(source);
    expect(await collect(stream)).toEqual([]);
    await stream.return();
    expect(source).toMatchObject({ started: 0, pulled: 0, returned: 0 });
  });

  it("takes all with Infinity", async () => {
    expect(await collect(take(Infinity)([1, 2, 3]))).toEqual([1, 2, 3]);
  });

  it("closes the source with the last value, not at the next() after it", async () => {
    const control = manual<string>();
    const stream = take(1)(control.source);
    const first = stream.next();
    control.push("a");
    expect(await first).toEqual({ value: "a", done: false });
    await settled();
    expect(control.removed).toBe(1);
  });

  it("a clean-up that fails then is told by the next next(), once", async () => {
    const cleanUp = new Error("clean-up");
    const stream = take(1)(watched([1], { cleanUp }));
    expect((await stream.next()).value).toBe(1);
    await settled();
    await expect(stream.next()).rejects.toBe(cleanUp);
    expect((await stream.next()).done).toBe(true);
  });

  it("several calls of next() that wait get the values and the end", async () => {
    const stream = take(2)(watched([1, 2, 3]));
    const all = await Promise.all([1, 2, 3, 4].map(() => stream.next()));
    expect(all.map(({ value }) => value)).toEqual([1, 2, undefined, undefined]);
  });
});

describe("reduce and toArray", () => {
  it("are what they are on an array", () =>
    fc.assert(
      fc.asyncProperty(numbers, fc.boolean(), async (values, later) => {
        const add = (a: string, b: number) => (later ? Promise.resolve(a + b) : a + b);
        expect(await reduce(add, "")(watched(values))).toBe(values.join(""));
        expect(await toArray()(watched(values))).toEqual(values);
        const sum = reduce<number>((a, b) => a + b)(watched(values));
        if (values.length) expect(await sum).toBe(values.reduce((a, b) => a + b));
        else await expect(sum).rejects.toThrow(new TypeError("reduce: no value, no initial value"));
      }),
    ));

  it("an initial undefined is one", async () => {
    expect(await reduce<number, undefined>(() => undefined, undefined)([])).toBe(undefined);
  });

  it("begin to read at the call", async () => {
    const control = manual<number>();
    const result = pipe(control.source, take(2), toArray());
    expect(control.registered).toBe(1);
    control.push(1);
    control.push(2);
    expect(await result).toEqual([1, 2]);
    await settled();
    expect(control.removed).toBe(1);
  });

  it("a reducer that fails closes the source, then rejects with the same error", async () => {
    for (const kind of [
      () => Promise.reject(error),
      () => {
        throw error;
      },
    ]) {
      const source = watched([1, 2, 3]);
      await expect(reduce<number, number>(kind, 0)(source)).rejects.toBe(error);
      expect(source).toMatchObject({ pulled: 1, returned: 1 });
    }
  });
  const error = { code: "E" };

  it("an error of the source rejects", async () => {
    await expect(toArray()(watched([1], { fail: error }))).rejects.toBe(error);
  });

  it("toArray's limit is an error beyond it, which closes the source", async () => {
    const source = watched([1, 2, 3, 4]);
    await expect(toArray({ limit: 2 })(source)).rejects.toThrow(
      new RangeError("toArray: more than 2 values came"),
    );
    expect(source).toMatchObject({ pulled: 3, returned: 1 });
    expect(await toArray({ limit: 2 })(watched([1, 2]))).toEqual([1, 2]);
    expect(() => toArray({ limit: -1 })).toThrow(RangeError);
  });

  it("are used twice without a trace of the first time", async () => {
    const all = toArray();
    expect([await all([1]), await all([2])]).toEqual([[1], [2]]);
  });
});

describe("flat", () => {
  const value = fc.oneof(
    fc.nat(9),
    fc.string(),
    fc.constant(null),
    fc.constant(undefined),
    fc.array(fc.nat(9)),
  );
  it("is Array.flat, also with sets and async iterables", () =>
    fc.assert(
      fc.asyncProperty(fc.array(value), fc.constantFrom("array", "set", "async"), async (values, kind) => {
        const wrapped = values.map((value) => {
          if (!Array.isArray(value) || kind === "array") return value;
          return kind === "set" ? { [Symbol.iterator]: () => value.values() } : watched(value);
        });
        expect(await collect(flat()(watched<unknown>(wrapped) as Source<unknown>))).toEqual(values.flat());
      }),
    ));

  it("leaves the second level and strings alone", async () => {
    expect(await collect(flat()([["ab", ["c"]], "de"]))).toEqual(["ab", ["c"], "de"]);
  });

  it("reads the inner ones when they are asked for, and closes the one under way before the source", async () => {
    const log: string[] = [];
    async function* named(name: string) {
      try {
        yield `${name}1`;
        yield `${name}2`;
      } finally {
        log.push(`closed ${name}`);
      }
    }
    async function* outer() {
      try {
        yield named("a");
        log.push("second");
        yield named("b");
      } finally {
        log.push("closed");
      }
    }
    const stream = flat()(outer());
    expect([(await stream.next()).value, (await stream.next()).value]).toEqual(["a1", "a2"]);
    expect(log).toEqual([]);
    expect((await stream.next()).value).toBe("b1");
    expect(log).toEqual(["closed a", "second"]);
    await stream.return();
    expect(log).toEqual(["closed a", "second", "closed b", "closed"]);
  });

  it("an error of an inner one closes the source", async () => {
    const fail = new Error("inner");
    const source = watched([watched([1], { fail }), watched([2])]);
    const stream = flat()(source);
    await stream.next();
    await expect(stream.next()).rejects.toBe(fail);
    expect(source.returned).toBe(1);
  });

  it("many empty arrays grow no stack", async () => {
    const empty = Array.from({ length: 50_000 }, () => [] as number[]);
    expect(await collect(flat()([...empty, [1]]))).toEqual([1]);
  });
});

describe("chain", () => {
  it("is the arrays one after the other, each touched when its turn comes", () =>
    fc.assert(
      fc.asyncProperty(fc.array(numbers, { maxLength: 4 }), async (arrays) => {
        const sources = arrays.map((values) => watched(values));
        const stream = chain(...sources);
        for (const [i, values] of arrays.entries()) {
          for (const value of values) {
            expect((await stream.next()).value).toBe(value);
            for (const later of sources.slice(i + 1)) expect(later.started).toBe(0);
          }
        }
        expect((await stream.next()).done).toBe(true);
      }),
    ));

  it("closes what has not ended, also what waits its turn", async () => {
    const sources = [watched([1]), watched([2, 3]), watched([4])];
    const stream = chain(...sources);
    await stream.next();
    await stream.next();
    await stream.return();
    expect(sources.map(({ returned }) => returned)).toEqual([0, 1, 1]);
    expect(sources.map(({ pulled }) => pulled)).toEqual([2, 1, 0]);
  });

  it("an error ends it and closes the rest", async () => {
    const fail = new Error("first");
    const second = watched([2]);
    await expect(collect(chain(watched([1], { fail }), second))).rejects.toBe(fail);
    expect(second).toMatchObject({ pulled: 0, returned: 1 });
  });
});

describe("pipe", () => {
  it("calls from left to right; alone it gives the value", () => {
    expect(pipe(1)).toBe(1);
    expect(
      pipe(
        1,
        (n) => n + 1,
        String,
        (s) => `${s}!`,
      ),
    ).toBe("2!");
  });

  it("many values that are skipped grow no stack", async () => {
    const many = Array.from({ length: 50_000 }, (_, i) => i);
    const last = pipe(
      many,
      filter((n) => n > 10),
      map((n) => n),
      filter((n) => n === 49_999),
      toArray(),
    );
    expect(await last).toEqual([49_999]);
  });
});
