// The examples of the README run, against the hub program where they name one, and print what they say.
import { readFileSync } from "node:fs";
import { format } from "node:util";
import { transform } from "esbuild";
import { expect, test } from "vitest";
import { WebSocket } from "ws";
import { entries } from "../entries.mjs";
import { startHub } from "./hub.js";

/** The hub of the examples. */
const HUB = "wss://hub.example/";
const text = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const examples = [...text.matchAll(/^```ts\n([\s\S]*?)^```/gm)].map(([, code]) => code as string);

test.each(examples.map((code) => [code.match(/subscribe\(.*/)?.[0] ?? code, code]))("%s", async (_, code) => {
  const printed: string[] = [];
  const console = { log: (...args: unknown[]) => printed.push(format(...args)) };
  const use = (path: string) => {
    const file = new URL(`../${(entries as Record<string, string>)[path]}`, import.meta.url);
    return import(/* @vite-ignore */ file.href);
  };
  const named = /^import (\{.*\}) from "@alkdev\/pubsub(.*)";$/gm;
  const hub = code.includes(HUB) ? await startHub() : undefined;
  const body = code
    .replace(named, `const $1 = await use(".$2");`)
    .split(HUB)
    .join(hub?.url ?? HUB);
  const { code: script } = await transform(`run = async () => {${body}}`, { loader: "ts" });
  const run = new Function("use", "console", "WebSocket", `let run; ${script}; return run();`);
  try {
    await run(use, console, WebSocket);
  } finally {
    await hub?.stop();
  }
  expect(printed).toEqual([...code.matchAll(/\/\/ prints: (.*)/g)].map(([, line]) => line));
});

test("there are examples", () => expect(examples.length).toBe(6));
