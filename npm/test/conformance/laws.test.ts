// The laws, on the targets that there are.
import { afterAll, describe, expect, it } from "vitest";
import { type Fixture, inProcess, laws, sound, unmet } from "../../src/conformance/index.js";
import { fixtures } from "./fixtures.js";
import { stopIroh } from "./iroh.js";
import { stopRedis } from "./redis.js";
import { stopHub } from "./websocket.js";

afterAll(stopHub);
afterAll(stopIroh);
afterAll(stopRedis);

const all: Record<string, Fixture> = { ...fixtures, ...sound };

describe.each(Object.entries(all))("%s", (_, fixture) => {
  for (const law of laws) {
    const need = unmet(law, fixture);
    it.skipIf(need !== undefined)(
      need === undefined ? law.name : `${law.name}, n/a: ${need}`,
      () => law.run(fixture),
      10_000,
    );
  }
});

it("is a suite of laws with names of their own", () => {
  const names = laws.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  expect(inProcess.capabilities.carries).toBe("reference");
});
