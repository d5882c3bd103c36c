import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { join, pipe, take } from "../../src/operators/index.js";
import { collect, manual, settled, watched } from "./sources.js";

describe("join", () => {
  it("gives everything, each source in its order, and ends with the last", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fc.nat(9), { maxLength: 8 }), { maxLength: 4 }),
        fc.infiniteStream(fc.nat(3)),
        async (arrays, waits) => {
          async function* slow(values: number[], source: number) {
            for (const value of values) {
              for (let i = waits.next().value as number; i > 0; i--) await null;
              yield { source, value };
            }
          }
          const got = await collect(join(...arrays.map(slow)));
          for (const [i, values] of arrays.entries()) {
            expect(got.filter(({ source }) => source === i).map(({ value }) => value)).toEqual(values);
          }
          expect(got).toHaveLength(arrays.flat().length);
        },
      ),
    ));

  it("is fair: a source that is always ready keeps no other one out", async () => {
    async function* endless(name: string) {
      for (;;) yield name;
    }
    const got = await collect(pipe(join(endless("a"), endless("b"), endless("c")), take(30)));
    for (let i = 0; i < 30; i += 3) expect(got.slice(i, i + 3).sort()).toEqual(["a", "b", "c"]);
    // As fair between arrays, which answer at once.
    expect(await collect(join([1, 2, 3], [4, 5, 6]))).toEqual([1, 4, 2, 5, 3, 6]);
  });

  it("gives what came first first", async () => {
    const [a, b] = [manual<string>(), manual<string>()];
    const stream = join(a.source, b.source);
    const first = stream.next();
    expect([a.registered, b.registered]).toEqual([1, 1]);
    b.push("b1");
    a.push("a1");
    expect((await first).value).toBe("b1");
    expect((await stream.next()).value).toBe("a1");
    await stream.return();
    expect([a.removed, b.removed]).toEqual([1, 1]);
  });

  it("reads at most one value per source ahead", async () => {
    const sources = [watched([1, 2, 3]), watched([4, 5, 6])];
    const stream = join(...sources);
    await stream.next();
    await settled();
    expect(sources.map(({ pulled }) => pulled)).toEqual([1, 1]);
    await stream.next();
    await settled();
    expect(sources.map(({ pulled }) => pulled)).toEqual([2, 1]);
  });

  it("return() closes all that have not ended", async () => {
    const sources = [watched<number>([]), watched([1, 2]), watched([3, 4])];
    const stream = join(...sources);
    await stream.next();
    await stream.next();
    await stream.return();
    expect(sources.map(({ returned }) => returned)).toEqual([0, 1, 1]);
  });

  it("an error comes in its turn and closes the others", async () => {
    const fail = new Error("second");
    const first = manual<number>();
    const stream = join(first.source, watched([1], { fail }));
    expect((await stream.next()).value).toBe(1);
    await expect(stream.next()).rejects.toBe(fail);
    expect(first.removed).toBe(1);
    expect((await stream.next()).done).toBe(true);
  });

  it("of nothing is empty", async () => {
    expect(await collect(join())).toEqual([]);
  });
});
