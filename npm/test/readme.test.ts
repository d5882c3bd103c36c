// The examples of the README run, and print what they say.
import { readFileSync } from "node:fs";
import { format } from "node:util";
import { transform } from "esbuild";
import { expect, test } from "vitest";
import * as exported from "../src/index.js";

const text = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const examples = [...text.matchAll(/^```ts\n([\s\S]*?)^```/gm)].map(([, code]) => code as string);

test.each(examples.map((code) => [code.match(/subscribe\(.*/)?.[0] ?? code, code]))("%s", async (_, code) => {
  const printed: string[] = [];
  const body = code.replace(/^import (\{.*\}) from "@alkdev\/pubsub";$/m, "const $1 = exported;");
  const { code: script } = await transform(`run = async () => {${body}}`, { loader: "ts" });
  const run = new Function("exported", "console", `let run; ${script}; return run();`);
  await run(exported, { log: (...args: unknown[]) => printed.push(format(...args)) });
  expect(printed).toEqual([...code.matchAll(/\/\/ prints: (.*)/g)].map(([, line]) => line));
});

test("there are examples", () => expect(examples.length).toBe(4));
