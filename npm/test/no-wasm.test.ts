// What the package does where WebAssembly is not, or may not be compiled; and that nothing is compiled by an import.
import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { promisify } from "node:util";
import { createContext, runInContext } from "node:vm";
import { build } from "esbuild";
import { describe, expect, test } from "vitest";
import { entries } from "../entries.mjs";

/** The entry with all that it pulls in, as a script whose result is its exports. */
async function bundled(file: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [file],
    absWorkingDir: new URL("..", import.meta.url).pathname,
    bundle: true,
    format: "iife",
    globalName: "exported",
    target: "es2020",
    platform: file.includes("node") ? "node" : "browser",
    // A script has no place of its own.
    logOverride: { "empty-import-meta": "silent" },
    write: false,
  });
  return outputFiles[0]?.text ?? "";
}

/** What becomes of a socket that a target is made of, as JSON. */
const attempt = `
  const seen = [];
  const socket = {
    readyState: 1,
    set binaryType(_) { seen.push("binaryType"); },
    get binaryType() { return "blob"; },
    send() { seen.push("send"); },
    close() { seen.push("close"); },
    addEventListener(type) { seen.push(type); },
    removeEventListener() {},
  };
  const codes = [1, 2].map(() => {
    try {
      exported.createWebSocketClientEventTarget(socket);
      return "made";
    } catch (error) {
      return error.name + " " + error.code + ": " + error.message;
    }
  });
  JSON.stringify({ codes, seen });
`;
const client = await bundled("src/websocket-client.ts");

async function inContext(before: string): Promise<{ codes: string[]; seen: string[] }> {
  const context = createContext({ TextEncoder, TextDecoder, performance, setTimeout, clearTimeout });
  return JSON.parse(runInContext(`${before}\n${client}\n${attempt}`, context));
}

test("with WebAssembly the target is made", async () => {
  const { codes, seen } = await inContext("");
  expect(codes).toEqual(["made", "made"]);
  expect(seen).toContain("message");
});

describe("no target is made, the socket is left alone, and the error is no_wasm", () => {
  const absent = /^PubSubError no_wasm: this runtime has no WebAssembly/;
  const refused =
    /^PubSubError no_wasm: WebAssembly could not be compiled; .*'wasm-unsafe-eval': CompileError: disallowed/;

  test("where there is no WebAssembly", async () => {
    const { codes, seen } = await inContext("delete globalThis.WebAssembly;");
    expect(codes).toEqual([expect.stringMatching(absent), expect.stringMatching(absent)]);
    expect(seen).toEqual([]);
  });

  test("where a program may not compile it, as in workerd and under a policy", async () => {
    const { codes, seen } = await inContext(
      "WebAssembly.Module = function () { throw new WebAssembly.CompileError('disallowed by embedder'); };",
    );
    expect(codes).toEqual([expect.stringMatching(refused), expect.stringMatching(refused)]);
    expect(seen).toEqual([]);
  });

  test("in Node without a compiler", async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [
      "--jitless",
      "-e",
      `${client}\nconsole.log((() => {${attempt.replace("JSON.stringify({", "return JSON.stringify({")}})())`,
    ]);
    const { codes, seen } = JSON.parse(stdout);
    expect(codes).toEqual([expect.stringMatching(absent), expect.stringMatching(absent)]);
    expect(seen).toEqual([]);
  });
});

describe("an import reads no WebAssembly, fetches nothing and waits for nothing", () => {
  const files = Object.values(entries).flatMap((source) =>
    typeof source === "string" ? [source] : Object.values<string>(source),
  );
  test.each(files)("%s", async (file) => {
    const context = createContext({ require: createRequire(import.meta.url) });
    runInContext(
      `for (const name of ["WebAssembly", "fetch", "XMLHttpRequest", "importScripts"]) {
         Object.defineProperty(globalThis, name, { get() { throw new Error(name + " was read"); } });
       }`,
      context,
    );
    // A script has no await at its top: that it can be bundled as one says so.
    const names = runInContext(`${await bundled(file)}\nObject.keys(exported).length`, context);
    expect(names).toBeGreaterThan(0);
  });
});
