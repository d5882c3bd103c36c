import { assertType, describe, expectTypeOf, it } from "vitest";
import {
  batch,
  chain,
  dedupe,
  filter,
  flat,
  type Group,
  groupBy,
  join,
  map,
  pipe,
  reduce,
  type Stream,
  take,
  toArray,
  window,
} from "../../src/operators/index.js";

type Circle = { readonly kind: "circle"; radius: number };
type Square = { readonly kind: "square"; side: number };
declare const shapes: AsyncIterable<{ type: string; id: string; payload: Circle | Square }>;
declare const numbers: AsyncIterable<number>;
declare const strings: AsyncIterable<string>;

describe("operators in a pipe", () => {
  it("infer their parameters from the source, and narrow by a type guard", () => {
    const radii = pipe(
      shapes,
      map(({ payload }) => payload),
      filter((shape): shape is Circle => shape.kind === "circle"),
      map((circle) => circle.radius),
    );
    expectTypeOf(radii).toEqualTypeOf<Stream<number>>();
    expectTypeOf(
      pipe(
        shapes,
        filter(({ id }) => id !== ""),
      ),
    ).toEqualTypeOf<Stream<{ type: string; id: string; payload: Circle | Square }>>();
  });

  it("infer through twelve stages", () => {
    const result = pipe(
      shapes,
      filter(({ id }) => id !== ""),
      map(async ({ payload }) => payload),
      dedupe((shape) => shape.kind),
      take(5),
      map((shape) => (shape.kind === "circle" ? shape.radius : shape.side)),
      batch({ count: 2, ms: 10 }),
      flat(),
      map((size) => `${size}`),
      window(3),
      map((window) => window.join()),
      filter(async (text) => text.length > 1),
      reduce((count) => count + 1, 0),
    );
    expectTypeOf(result).toEqualTypeOf<Promise<number>>();
  });

  it("the rest of them", () => {
    expectTypeOf(pipe(numbers)).toEqualTypeOf<AsyncIterable<number>>();
    expectTypeOf(pipe(numbers, toArray())).toEqualTypeOf<Promise<number[]>>();
    expectTypeOf(pipe(numbers, toArray({ limit: 1 }))).toEqualTypeOf<Promise<number[]>>();
    expectTypeOf(
      pipe(
        numbers,
        reduce((a, b) => a + b),
      ),
    ).toEqualTypeOf<Promise<number>>();
    expectTypeOf(pipe(numbers, batch(2))).toEqualTypeOf<Stream<number[]>>();
    expectTypeOf(pipe(numbers, window({ ms: 2 }))).toEqualTypeOf<Stream<number[]>>();
    expectTypeOf(pipe(numbers, dedupe())).toEqualTypeOf<Stream<number>>();
    expectTypeOf(pipe(shapes, dedupe({ key: (event) => event.payload.kind, last: 2 }))).toExtend<
      Stream<{ id: string }>
    >();
    expectTypeOf(
      pipe(
        shapes,
        groupBy(({ payload }) => payload.kind),
      ),
    ).toEqualTypeOf<
      Stream<Group<"circle" | "square", { type: string; id: string; payload: Circle | Square }>>
    >();
    expectTypeOf(
      pipe(
        strings,
        map((text) => [text]),
        flat(),
      ),
    ).toEqualTypeOf<Stream<string>>();
    expectTypeOf(pipe(strings, flat())).toEqualTypeOf<Stream<string>>();
    expectTypeOf(chain(numbers, strings, [true])).toEqualTypeOf<Stream<number | string | boolean>>();
    expectTypeOf(join(numbers, strings)).toEqualTypeOf<Stream<number | string>>();
    expectTypeOf(pipe(numbers, (source) => join(source, strings), take(1))).toEqualTypeOf<
      Stream<number | string>
    >();
  });

  it("a stream is an async generator, and return() needs no argument", () => {
    const stream = map((n: number) => n)(numbers);
    assertType<AsyncGenerator<number, void, undefined>>(stream);
    assertType<Promise<IteratorResult<number, void>>>(stream.return());
  });

  it("mistakes are errors", () => {
    const double = map((n: number) => 2 * n);
    // @ts-expect-error a stage that does not fit
    pipe(strings, double);
    // @ts-expect-error no such property
    map((event: { id: string }) => event.payload);
    // @ts-expect-error no such option
    batch({ size: 2 });
    // @ts-expect-error undefined is no count
    batch({ count: undefined });
    // @ts-expect-error no such overflow
    groupBy(String, { overflow: "drop" });
    // @ts-expect-error window needs to be told how large
    window();
    // @ts-expect-error not iterable
    take(1)(7);
  });
});
