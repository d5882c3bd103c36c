import { expect, test } from "vitest";
import { entries, exportsOf } from "../entries.mjs";
import manifest from "../package.json" with { type: "json" };

test("the exports map is that of the table of entries", () => {
  expect(manifest.exports).toEqual(exportsOf(entries));
});

test("the range that programs ask for takes this version", () => {
  expect(manifest.version).toMatch(/^0\.1\.\d+$/);
});
