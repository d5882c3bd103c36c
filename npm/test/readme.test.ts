// The examples of the README run, against the hub program where they name one, and print what they say.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { format } from "node:util";
import { transform } from "esbuild";
import { expect, test, vi } from "vitest";
import * as ws from "ws";
import { entries } from "../entries.mjs";
import { startHub } from "./hub.js";
import { startIrohHub } from "./iroh-hub.js";

/** The hub of the examples, and the port of a hub that is one. */
const HUB = "wss://hub.example/";
const PORT = "8080";
const TICKET = "iroh:endpoint…";
const text = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const examples = [...text.matchAll(/^```ts\n([\s\S]*?)^```/gm)].map(([, code]) => code as string);

test.each(examples.map((code) => [code.match(/subscribe\(.*/)?.[0] ?? code, code]))("%s", async (_, code) => {
  const printed: string[] = [];
  const console = { log: (...args: unknown[]) => printed.push(format(...args)) };
  const use = (path: string) => {
    if (path === "ws") return ws;
    const source = entries[path] ?? "";
    const file = new URL(`../${typeof source === "string" ? source : source.node}`, import.meta.url);
    return import(/* @vite-ignore */ file.href);
  };
  const named = /^import (\{.*\}) from "@alkdev\/pubsub(.*)";$/gm;
  const port = code.includes(PORT) ? await freePort() : 0;
  const hub = code.includes(HUB) ? await startHub() : undefined;
  const overIroh = code.includes(TICKET) ? await startIrohHub() : undefined;
  const body = code
    .replace(named, `const $1 = await use(".$2");`)
    .replace(/^import (\{.*\}) from "ws";$/m, 'const $1 = await use("ws");')
    .split(PORT)
    .join(String(port))
    .split(HUB)
    .join(hub?.url ?? HUB)
    .replace(TICKET, overIroh?.ticket ?? TICKET);
  const { code: script } = await transform(`run = async () => {${body}}`, { loader: "ts" });
  const run = new Function("use", "console", "WebSocket", `let run; ${script}; return run();`);
  // Node 20 has none.
  vi.stubGlobal("WebSocket", ws.WebSocket);
  try {
    await run(use, console, ws.WebSocket);
  } finally {
    vi.unstubAllGlobals();
    await hub?.stop();
    await overIroh?.stop();
  }
  expect(printed).toEqual([...code.matchAll(/\/\/ prints: (.*)/g)].map(([, line]) => line));
});

test("there are examples", () => expect(examples.length).toBe(8));

/** One that nobody had a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
