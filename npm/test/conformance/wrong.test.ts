// The laws can fail: each wrong target is killed by its laws, and each law kills one.
import { expect, it } from "vitest";
import { type Law, laws, unmet, Violation, type Wrong, wrong } from "../../src/conformance/index.js";
import { wrongWired } from "./wrong-wired.js";

const all = [...wrong, ...wrongWired];

async function verdict(law: Law, { fixture }: Wrong): Promise<string | undefined> {
  const need = unmet(law, fixture);
  if (need !== undefined) return undefined;
  try {
    await law.run(fixture);
    return undefined;
  } catch (error) {
    expect(error, `${law.name} fails by a violation`).toBeInstanceOf(Error);
    return error instanceof Violation ? error.message : String(error);
  }
}

it("each wrong target dies by its laws", async () => {
  const pairs = all.flatMap((of) =>
    of.killedBy.map((name) => [of, laws.find((law) => law.name === name)] as const),
  );
  const lines = await Promise.all(
    pairs.map(async ([of, law]) => {
      if (law === undefined) return `SURVIVES: ${of.name}, no law is called ${of.killedBy.join(" or ")}`;
      const died = await verdict(law, of);
      return died === undefined
        ? `SURVIVES: ${of.name}, ${law.name}`
        : `${of.name} dies by ${law.name}: ${died.slice(0, 160)}`;
    }),
  );
  console.log(lines.join("\n"));
  expect(lines.filter((line) => line.startsWith("SURVIVES"))).toEqual([]);
}, 30_000);

it("each law kills a wrong target", () => {
  const idle = laws.filter(({ name }) => !all.some(({ killedBy }) => killedBy.includes(name)));
  expect(idle.map(({ name }) => name)).toEqual([]);
});
