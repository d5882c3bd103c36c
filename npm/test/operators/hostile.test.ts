// Sources, callbacks and runtimes that are not what an operator expects.
import { afterEach, expect, test, vi } from "vitest";
import {
  batch,
  chain,
  dedupe,
  filter,
  join,
  map,
  pipe,
  reduce,
  type Source,
  take,
  toArray,
  window,
} from "../../src/index.js";

afterEach(() => vi.unstubAllGlobals());

async function* values<T>(...given: T[]) {
  yield* given;
}

test("without `performance`, dedupe and window go by Date", async () => {
  vi.stubGlobal("performance", undefined);
  expect(await pipe([1, 1, 2], dedupe({ ms: 1e6 }), toArray())).toEqual([1, 2]);
  expect(await pipe([1, 2, 3], window({ count: 2, ms: 1e6 }), toArray())).toEqual([[1], [1, 2], [2, 3]]);
});

test("without timers, batch goes by count", async () => {
  vi.stubGlobal("setTimeout", undefined);
  vi.stubGlobal("clearTimeout", undefined);
  expect(await pipe([1, 2, 3], batch(2), take(2), toArray())).toEqual([[1, 2], [3]]);
});

test("a `then` that throws when it is looked up is an error of the callback", async () => {
  const failure = new Error("then");
  // biome-ignore lint/suspicious/noThenProperty: it is what the test is about
  const hostile = Object.defineProperty({}, "then", {
    get() {
      throw failure;
    },
  });
  await expect(
    pipe(
      values(1),
      map(() => hostile),
      toArray(),
    ),
  ).rejects.toBe(failure);
  await expect(
    pipe(
      values(1),
      filter(() => hostile as never),
      toArray(),
    ),
  ).rejects.toBe(failure);
});

test.each([undefined, null, 5])("a source whose next() gives %j fails, as in for await", async (result) => {
  const iterators = { next: async () => result, sync: () => result };
  for (const next of Object.values(iterators)) {
    const source = { [Symbol.asyncIterator]: () => ({ next }) } as unknown as Source<number>;
    const stream = pipe(
      source,
      map((value) => value),
    );
    await expect(stream.next()).rejects.toThrow(TypeError);
    expect(await stream.next()).toEqual({ value: undefined, done: true });
  }
});

test("many sources that are empty at once do not grow the stack", async () => {
  const sources: number[][] = Array.from({ length: 50_000 }, () => []);
  expect(await pipe(chain(...sources, [1]), toArray())).toEqual([1]);
});

test("the same stream twice is one source to join", async () => {
  const stream = pipe(
    [1, 2],
    map((value) => value),
  );
  expect(await pipe(join(stream, stream), toArray())).toEqual([1, 2]);
});

test("batch without options has 1024 values at most", async () => {
  const sizes = pipe(
    Array.from({ length: 1025 }).keys(),
    batch(),
    map((values) => values.length),
    toArray(),
  );
  expect(await sizes).toEqual([1024, 1]);
});

// A Map walks over what was deleted at its front, whenever it is asked anew for its oldest: with many keys that took
// as many seconds as it now takes tenths.
test("what remembers many keys finds the oldest at once", { timeout: 4_000 }, async () => {
  const many = Array.from({ length: 300_000 }).keys();
  const passed = pipe(
    many,
    dedupe({ last: 100_000 }),
    reduce((count) => count + 1, 0),
  );
  expect(await passed).toBe(300_000);
});
