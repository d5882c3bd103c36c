// What a page pays, minified and gzipped: prints it, and fails above a bound.
import { readFileSync } from "node:fs";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { build } from "esbuild";
import { entries, fileOf, files } from "../entries.mjs";

const KIB = 1024;
const file = (path) => `./dist/${fileOf(path)}.js`;
const all = (path) => `export * from "${file(path)}";`;

/** Of what a page is likely to load: what they have come to, and 3 %. Never more than 30 KiB for the first. */
const bounds = {
  "./event-target-websocket-client": 30_530,
  "iroh.wasm": 623_000,
};

/** What is imported, what is left out of the count, and the bound in bytes if there is one. */
const cases = [
  [". (without its dependency)", all("."), ["@repeaterjs/*"], 6 * KIB],
  [". (all of it, bundled)", all("."), [], 7.25 * KIB],
  ["createPubSub alone, bundled", `export { createPubSub } from "${file(".")}";`, [], 5 * KIB],
  ...Object.keys(entries)
    .filter((path) => path !== ".")
    .map((path) => [`${path}, bundled`, all(path), [], bounds[path]]),
];

/** Prints what a file weighs; fails where it is too heavy. */
function weigh(name, code, bound, before) {
  const bytes = gzipSync(code, { level: 9 }).length;
  const over = bytes > (bound ?? Number.POSITIVE_INFINITY);
  if (over) process.exitCode = 1;
  const limit = bound ? `, at most ${bound}` : "";
  console.log(`${name.padEnd(42)} ${before}, ${bytes} B gzipped${limit}${over ? ": TOO LARGE" : ""}`);
}

for (const [name, contents, external, bound] of cases) {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: new URL("..", import.meta.url).pathname },
    external,
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2020",
    write: false,
  });
  const { contents: code } = outputFiles[0];
  weigh(name, code, bound, `${code.length} B minified`);
}
for (const file of files) {
  const code = readFileSync(new URL(`../dist/${file}`, import.meta.url));
  const { length } = brotliCompressSync(code);
  weigh(
    `${file}, of ./event-target-iroh-spoke alone`,
    code,
    bounds[file],
    `${code.length} B, ${length} B by brotli`,
  );
}
