// What each entry weighs in a page, everything it imports bundled: prints it, and fails above its bound.
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { entries, fileOf } from "../entries.mjs";

/** Bytes, minified and gzipped. An entry without a bound is only printed. */
const bounds = { ".": 6 * 1024 };

let failed = false;
for (const path of Object.keys(entries)) {
  const file = new URL(`../dist/${fileOf(path)}.js`, import.meta.url).pathname;
  const { outputFiles } = await build({
    entryPoints: [file],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2020",
    write: false,
  });
  const bytes = gzipSync(outputFiles[0].contents, { level: 9 }).length;
  const bound = bounds[path];
  const over = bound !== undefined && bytes > bound;
  failed ||= over;
  console.log(
    `${path.padEnd(16)} ${String(outputFiles[0].contents.length).padStart(7)} B minified, ${String(bytes).padStart(6)} B gzipped${bound === undefined ? "" : `, at most ${bound}${over ? ": TOO LARGE" : ""}`}`,
  );
}
process.exitCode = failed ? 1 : 0;
