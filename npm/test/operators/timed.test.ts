// batch, dedupe and window: by count, and by time.
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { batch, dedupe, pipe, take, window } from "../../src/operators/index.js";
import { collect, manual, watched } from "./sources.js";

const numbers = fc.array(fc.nat(4), { maxLength: 30 });
const size = fc.integer({ min: 1, max: 6 });

describe("by count", () => {
  it("batch cuts the array up", () =>
    fc.assert(
      fc.asyncProperty(numbers, size, fc.boolean(), async (values, count, timed) => {
        const expected: number[][] = [];
        for (let i = 0; i < values.length; i += count) expected.push(values.slice(i, i + count));
        expect(await collect(batch(timed ? { count, ms: 1000 } : count)(watched(values)))).toEqual(expected);
      }),
    ));

  it("batch gives what it has before an error", async () => {
    const fail = new Error("source");
    const stream = batch(10)(watched([1, 2], { fail }));
    expect((await stream.next()).value).toEqual([1, 2]);
    await expect(stream.next()).rejects.toBe(fail);
    expect((await stream.next()).done).toBe(true);
  });

  it("window is every full slice", () =>
    fc.assert(
      fc.asyncProperty(numbers, size, fc.option(size, { nil: undefined }), async (values, count, step) => {
        const expected: number[][] = [];
        for (let i = 0; i + count <= values.length; i += step ?? 1) expected.push(values.slice(i, i + count));
        const options = step === undefined ? count : { count, step };
        expect(await collect(window(options)(watched(values)))).toEqual(expected);
      }),
    ));

  it("arrays that are given are the reader's own", async () => {
    const changed = [];
    for await (const values of window(2)([1, 2, 3, 4])) changed.push(values.reverse());
    expect(changed).toEqual([
      [2, 1],
      [3, 2],
      [4, 3],
    ]);
    const grown = [];
    for await (const values of window({ ms: Infinity, count: 2 })([1, 2, 3])) grown.push(values.reverse());
    expect(grown).toEqual([[1], [2, 1], [3, 2]]);
  });

  it("dedupe drops what is among the last keys let through", () =>
    fc.assert(
      fc.asyncProperty(
        numbers,
        fc.option(size, { nil: undefined }),
        fc.boolean(),
        async (values, last, later) => {
          const passed: number[] = [];
          for (const value of values) {
            if (!passed.slice(-(last ?? 1)).some((other) => other % 3 === value % 3)) passed.push(value);
          }
          const key = (value: number) => (later ? Promise.resolve(value % 3) : value % 3);
          const options = last === undefined ? key : { key, last };
          expect(await collect(dedupe<number, number | Promise<number>>(options)(watched(values)))).toEqual(
            passed,
          );
        },
      ),
    ));

  it("dedupe compares as a Map does", async () => {
    const same = {};
    const values = [Number.NaN, Number.NaN, 0, -0, undefined, undefined, null, same, same, {}];
    expect(await collect(dedupe()(values))).toEqual([Number.NaN, 0, undefined, null, {}, {}]);
  });
});

describe("by time", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());
  /** Lets what is ready run; no time passes. */
  const ready = () => vi.advanceTimersByTimeAsync(0);

  it("batch waits from its first value on", async () => {
    const control = manual<number>();
    const stream = batch({ ms: 100 })(control.source);
    const first = stream.next();
    const seen = vi.fn();
    void first.then(seen);
    await vi.advanceTimersByTimeAsync(500);
    expect(vi.getTimerCount()).toBe(0);
    control.push(1);
    await vi.advanceTimersByTimeAsync(99);
    control.push(2);
    await ready();
    expect(seen).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(seen).toHaveBeenCalledWith({ value: [1, 2], done: false });
    expect(vi.getTimerCount()).toBe(0);

    // The read that was under way is the beginning of the next one.
    control.push(3);
    await vi.advanceTimersByTimeAsync(1000);
    expect(vi.getTimerCount()).toBe(0);
    const second = stream.next();
    expect(vi.getTimerCount()).toBe(1);
    control.push(4);
    await vi.advanceTimersByTimeAsync(100);
    expect((await second).value).toEqual([3, 4]);
  });

  it("batch is given by count before its time, and the next one has its own time", async () => {
    const control = manual<number>();
    const stream = batch({ count: 2, ms: 100 })(control.source);
    const first = stream.next();
    control.push(1);
    await vi.advanceTimersByTimeAsync(60);
    control.push(2);
    expect((await first).value).toEqual([1, 2]);
    expect(vi.getTimerCount()).toBe(0);
    const second = stream.next();
    const seen = vi.fn();
    void second.then(seen);
    control.push(3);
    await vi.advanceTimersByTimeAsync(99);
    expect(seen).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(seen).toHaveBeenCalledWith({ value: [3], done: false });
  });

  it("batch holds 1024 values at most unless told otherwise", async () => {
    const many = Array.from({ length: 3000 }, (_, i) => i);
    const batches = await collect(batch({ ms: 100 })(many));
    expect(batches.map(({ length }) => length)).toEqual([1024, 1024, 952]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("batch leaves no timer behind: return, end, error", async () => {
    const error = new Error("source");
    for (const end of ["return", "stop", "error"] as const) {
      const control = manual<number>();
      const stream = batch({ ms: 100 })(control.source);
      const first = stream.next();
      control.push(1);
      await ready();
      expect(vi.getTimerCount()).toBe(1);
      if (end === "return") {
        await stream.return();
        expect(await first).toEqual({ value: undefined, done: true });
      } else {
        control.stop(end === "error" ? error : undefined);
        expect((await first).value).toEqual([1]);
        if (end === "error") await expect(stream.next()).rejects.toBe(error);
        else expect((await stream.next()).done).toBe(true);
      }
      expect(vi.getTimerCount()).toBe(0);
      expect(control.removed).toBe(1);
    }
  });

  it("an end or an error between two batches reaches the next next()", async () => {
    const error = new Error("source");
    for (const how of [undefined, error]) {
      const control = manual<number>();
      const stream = batch({ ms: 100 })(control.source);
      const first = stream.next();
      control.push(1);
      await vi.advanceTimersByTimeAsync(100);
      await first;
      control.stop(how);
      await ready();
      if (how) await expect(stream.next()).rejects.toBe(how);
      expect(await stream.next()).toEqual({ value: undefined, done: true });
    }
  });

  it("window reaches back so many milliseconds, and holds so many values", async () => {
    const control = manual<number>();
    const stream = pipe(control.source, window({ ms: 100, count: 3 }), take(6));
    const windows: number[][] = [];
    const done = (async () => {
      for await (const values of stream) windows.push(values);
    })();
    for (const [value, wait] of [
      [1, 60],
      [2, 40],
      [3, 10],
      [4, 0],
      [5, 101],
      [6, 0],
    ] as const) {
      control.push(value);
      await vi.advanceTimersByTimeAsync(wait);
    }
    await done;
    // 1 is 100 ms old when 3 comes, which is within; 5 pushes 2 out by count.
    expect(windows).toEqual([[1], [1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [6]]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("window by time is given every step values, from the first one on", async () => {
    const windows = await collect(window({ ms: 100, step: 2, count: 3 })([1, 2, 3, 4, 5]));
    expect(windows).toEqual([[1], [1, 2, 3], [3, 4, 5]]);
  });

  it("dedupe lets a key through again after its time, however often it came meanwhile", async () => {
    const control = manual<string>();
    const seen: string[] = [];
    void (async () => {
      for await (const value of dedupe<string>({ ms: 100 })(control.source)) seen.push(value);
    })();
    for (const [value, wait] of [
      ["a", 50],
      ["b", 50],
      ["a", 0],
      ["b", 1],
      ["a", 50],
      ["a", 0],
      ["b", 0],
    ] as const) {
      control.push(value);
      await vi.advanceTimersByTimeAsync(wait);
    }
    expect(seen).toEqual(["a", "b", "a", "b"]);
  });

  it("dedupe still knows a key when exactly its time has passed", async () => {
    const control = manual<string>();
    const stream = dedupe<string>({ ms: 100, key: (text) => text.slice(0, 1) })(control.source);
    const [first, second] = [stream.next(), stream.next()];
    for (const value of ["a 0", "a 100", "a 101"]) {
      control.push(value);
      await vi.advanceTimersByTimeAsync(value === "a 0" ? 100 : 1);
    }
    expect([(await first).value, (await second).value]).toEqual(["a 0", "a 101"]);
  });

  it("dedupe forgets the key that passed longest ago, also one that passed again", async () => {
    const control = manual<string>();
    const seen: string[] = [];
    void (async () => {
      for await (const value of dedupe<string>({ ms: 100, last: 3 })(control.source)) seen.push(value);
    })();
    for (const [value, wait] of [
      ["a", 50],
      ["b", 51],
      ["a", 0],
      ["c", 0],
      ["d", 0],
      ["a", 0],
      ["b", 0],
    ] as const) {
      control.push(value);
      await vi.advanceTimersByTimeAsync(wait);
    }
    // The second a is younger than b, so that d makes b forgotten.
    expect(seen).toEqual(["a", "b", "a", "c", "d", "b"]);
  });

  it("batch has one read under way at most", async () => {
    let pulled = 0;
    const source: AsyncIterableIterator<number> = {
      [Symbol.asyncIterator]: () => source,
      next: () => (++pulled === 1 ? Promise.resolve({ value: 1, done: false }) : new Promise(() => {})),
    };
    const stream = batch({ ms: 100 })(source);
    const first = stream.next();
    await vi.advanceTimersByTimeAsync(100);
    expect((await first).value).toEqual([1]);
    void stream.next();
    await ready();
    expect(pulled).toBe(2);
  });

  it("dedupe by time remembers 1024 keys unless told otherwise", async () => {
    const keys = Array.from({ length: 1024 }, (_, i) => i);
    const remembered = await collect(dedupe<number>({ ms: 100 })([...keys, 0]));
    expect(remembered).toHaveLength(1024);
    const forgotten = await collect(dedupe<number>({ ms: 100 })([...keys, 1024, 0]));
    expect(forgotten).toHaveLength(1026);
  });
});

it("the timer of a batch keeps no process alive", () => {
  const unref = vi.fn();
  const set = vi.spyOn(globalThis, "setTimeout").mockReturnValue({ unref } as never);
  try {
    const stream = batch({ ms: 1000 })([1]);
    void stream.next();
    // An array has ended by now; a source that goes on has not.
    expect(set).toHaveBeenCalledTimes(1);
    expect(unref).toHaveBeenCalledTimes(1);
  } finally {
    set.mockRestore();
  }
});
