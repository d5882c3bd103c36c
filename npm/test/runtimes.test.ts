import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { devDependencies } from "../consumers/package.json" with { type: "json" };

test("the table of runtimes in the README has the versions that the consumers install", () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const cells =
    readme
      .split("## Runtimes")[1]
      ?.split("\n")
      .map((line) => line.toLowerCase()) ?? [];
  // What only looks the package over is no runtime.
  const { publint: _, "@arethetypeswrong/cli": __, ...runtimes } = devDependencies;
  for (const [name, version] of Object.entries(runtimes)) {
    const row = cells.find((line) => line.startsWith(`| ${name} `));
    expect(row, `the row of ${name}`).toContain(version);
  }
});
