// What decides is the core: with one that does nothing, the targets that stand on it keep no law that asks for anything.
import { expect, it, vi } from "vitest";
import { laws, unmet } from "../../src/conformance/index.js";
import { port } from "./worker.js";

vi.mock("../../src/core/link-core.js", () => {
  const nothing = new Proxy({}, { get: () => () => 0 });
  const core = {
    call: nothing,
    put: () => 0,
    putBytes: () => 0,
    words: () => new Uint32Array(8),
    text: () => "",
    numbers: () => [],
    slice: () => "",
  };
  return { theCore: () => core };
});

it("without the core, laws fail", async () => {
  const fixture = { ...port, deadline: 30 };
  const outcomes = await Promise.all(
    laws
      .filter((law) => unmet(law, fixture) === undefined)
      .map(async (law) => {
        const kept = await law.run(fixture).then(
          () => true,
          () => false,
        );
        return [law.name, kept] as const;
      }),
  );
  const kept = outcomes.filter(([, holds]) => holds).map(([name]) => name);
  // That one is about the end of the port, which its target sees by itself.
  expect(kept).toEqual(["connection_loss"]);
  expect(outcomes.length).toBeGreaterThan(15);
});
