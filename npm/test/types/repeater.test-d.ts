import { expectTypeOf, test } from "vitest";
import { type Push, Repeater, type Stop } from "../../src/index.js";

test("Push and Stop have usable defaults, as callers of the parent write them", () => {
  const repeater = new Repeater<number>((push: Push<number>, stop: Stop) => {
    push(1);
    stop.then(() => {});
    stop(new Error("x"));
  });
  expectTypeOf(repeater).toExtend<AsyncIterable<number>>();
});
