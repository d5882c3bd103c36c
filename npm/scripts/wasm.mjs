// Puts the core's WebAssembly modules into src/core/packed*.ts, which are not in git: one of links alone, one of hubs, too.
// Builds each first, if what it is made of has changed since: crates/alkpubsub-wasm/build says what that needs.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { pack } from "./pack.mjs";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const root = path("../../");
/** The files, and the features that their modules are built with. */
const modules = [
  ["packed.ts", []],
  ["packed-hub.ts", ["hub"]],
];

const sources = ["Cargo.lock", "Cargo.toml"].map((name) => join(root, name));
for (const crate of ["alkpubsub", "alkpubsub-wasm"]) {
  for (const part of ["Cargo.toml", "src", "build"]) {
    const start = join(root, "crates", crate, part);
    try {
      sources.push(
        ...readdirSync(start, { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map((entry) => join(entry.parentPath ?? entry.path, entry.name)),
      );
    } catch (error) {
      if (error.code === "ENOTDIR") sources.push(start);
      else if (error.code !== "ENOENT") throw error;
    }
  }
}
const hash = createHash("sha256");
for (const file of [...sources, path("pack.mjs"), path("wasm.mjs")].sort()) {
  hash.update(`${relative(root, file)}\n`).update(readFileSync(file));
}
const stamp = `// ${hash.digest("hex")}\n`;

/** What was packed last, if anything was. */
function before(packed) {
  try {
    return readFileSync(packed, "utf8");
  } catch {
    return "";
  }
}

/** Runs the script that builds a module, which has said itself why it fails: gives the module's path. */
function build(features) {
  try {
    return execFileSync(path("../../crates/alkpubsub-wasm/build"), features, {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
    }).trim();
  } catch (error) {
    console.error(`npm: the WebAssembly module was not built: ${error.message}`);
    process.exit(1);
  }
}

for (const [name, features] of modules) {
  const packed = path(`../src/core/${name}`);
  if (before(packed).startsWith(stamp)) continue;
  const file = build(features);
  writeFileSync(packed, `${stamp}export const packed = ${JSON.stringify(pack(readFileSync(file)))};\n`);
  console.log(`packed ${file}`);
}
