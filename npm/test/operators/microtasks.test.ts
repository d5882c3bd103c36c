// How many microtasks an operator adds between a value's arrival and its reader. The order of events across topics
// hangs on it, so the figures in docs/operators.md may not grow.
import { Repeater } from "@repeaterjs/repeater";
import { describe, expect, it } from "vitest";
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
  take,
  window,
} from "../../src/operators/index.js";
import { byHand, settled } from "./sources.js";

/** Microtasks from the arrival of the last of `values` at the source until `next()` of what `operator` made resolves. */
async function hops(
  operator: (source: Source<number>) => AsyncIterable<unknown>,
  values = [1],
): Promise<number> {
  const { source, give } = byHand<number>();
  const iterator = operator(source)[Symbol.asyncIterator]();
  let counts = 0;
  // The second round is counted: the first one may have set things up.
  for (const round of [1, 2]) {
    let arrived = false;
    counts = 0;
    const first = iterator.next();
    void first.then(() => {
      arrived = true;
    });
    for (const value of values.slice(0, -1)) {
      give(value * round);
      await settled();
    }
    // A Repeater asks its source a few microtasks later.
    await settled();
    give((values[values.length - 1] as number) * round);
    while (!arrived && counts < 100) {
      await null;
      counts++;
    }
  }
  return counts;
}

const plain = (source: Source<number>) => source as AsyncIterable<number>;

/** The usual way to write an operator with a Repeater. */
const repeaterMap = (mapper: (value: number) => unknown) => (source: AsyncIterable<number>) =>
  new Repeater<unknown>(async (push, stop) => {
    const iterator = source[Symbol.asyncIterator]();
    void stop.then(() => iterator.return?.());
    for (let result = await iterator.next(); !result.done; result = await iterator.next()) {
      await push(await mapper(result.value));
    }
    stop();
  });

describe("microtasks added per value", () => {
  it.each<[string, (source: Source<number>) => AsyncIterable<unknown>, added: number, values?: number[]]>([
    ["filter", filter(() => true), 1],
    ["filter that skips", filter((value) => value > 5), 1, [1, 2, 10]],
    ["filter, async", filter(async () => true), 2],
    ["map", map((value) => value), 1],
    ["map, async", map(async (value) => value), 2],
    ["take", take(9), 1],
    ["batch", batch(3), 1, [1, 2, 3]],
    ["batch by time", batch({ count: 3, ms: 1000 }), 1, [1, 2, 3]],
    ["dedupe", dedupe(), 1],
    ["window", window(1), 1],
    ["window by time", window({ ms: 1000 }), 1],
    ["flat", flat(), 1],
    ["flat of arrays", (source) => flat()(map((value: number) => [value])(source)), 1],
    ["groupBy", groupBy((value) => value), 1],
    ["chain", (source) => chain(source), 1],
    ["join", (source) => join(source), 1],
    [
      "a pipe of twelve",
      (source) =>
        pipe(
          source,
          filter(() => true),
          map((value) => value),
          dedupe(),
          take(9),
          batch(1),
          flat(),
          window(1),
          flat(),
          (source) => join(source),
          (source) => chain(source),
          filter(() => true),
          map((value) => value),
        ),
      1,
    ],
  ])("%s", async (_name, operator, added, values) => {
    expect((await hops(operator, values)) - (await hops(plain))).toBe(added);
  });

  it("is fewer than what the same operator costs on a Repeater", async () => {
    const direct = await hops(plain);
    const one = (await hops((source) => repeaterMap((value) => value)(plain(source)))) - direct;
    const three = repeaterMap((value) => value) as (source: unknown) => AsyncIterable<number>;
    const pipeOfThree = (await hops((source) => three(three(three(source))))) - direct;
    expect({ one, pipeOfThree }).toEqual({ one: 6, pipeOfThree: 18 });
  });
});
