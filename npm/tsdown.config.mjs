import { defineConfig } from "tsdown";
import { entries, files, sourcesOf } from "./entries.mjs";

export default defineConfig({
  entry: sourcesOf(entries),
  copy: files.map((file) => `src/iroh/${file}`),
  deps: { neverBundle: [/^node:/] },
  format: ["esm", "cjs"],
  platform: "neutral",
  target: "es2020",
  fixedExtension: false,
  dts: true,
  // The types have Symbol.dispose, also where a program's own `lib` has none.
  banner: { dts: '/// <reference lib="esnext.disposable" />' },
  sourcemap: false,
  minify: false,
  report: false,
});
