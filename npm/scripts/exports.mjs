// Writes the exports map of package.json from entries.mjs; leaves the file alone if it is right.
import { readFileSync, writeFileSync } from "node:fs";
import { entries, exportsOf } from "../entries.mjs";

const path = new URL("../package.json", import.meta.url);
const before = readFileSync(path, "utf8");
const manifest = JSON.parse(before);
const wanted = exportsOf(entries);
if (JSON.stringify(manifest.exports) !== JSON.stringify(wanted)) {
  manifest.exports = wanted;
  writeFileSync(path, `${JSON.stringify(manifest, null, 2)}\n`);
  console.log("package.json: exports written from entries.mjs");
}
