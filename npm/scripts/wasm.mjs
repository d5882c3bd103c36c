// Puts the WebAssembly modules where the package takes them from, none of them in git: the core's into src/core/packed*.ts, one
// of links alone, one of hubs, too; that of iroh, with what it is called by, into src/iroh. Builds each first, if what it is
// made of has changed since: crates/alkpubsub-wasm*/build say what that needs.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { pack } from "./pack.mjs";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const root = path("../../");

/** A line that tells these sources apart from others, be they files or folders of the repository; not all need be there. */
function stampOf(...sources) {
  const files = [];
  for (const source of sources) {
    const start = join(root, source);
    try {
      const inside = readdirSync(start, { recursive: true, withFileTypes: true });
      for (const entry of inside) {
        if (entry.isFile()) files.push(join(entry.parentPath ?? entry.path, entry.name));
      }
    } catch (error) {
      if (error.code === "ENOTDIR") files.push(start);
      else if (error.code !== "ENOENT") throw error;
    }
  }
  const hash = createHash("sha256");
  for (const file of files.sort()) hash.update(`${relative(root, file)}\n`).update(readFileSync(file));
  return `// ${hash.digest("hex")}\n`;
}

/** Whether a file was written from these sources. */
function isCurrent(file, stamp) {
  try {
    return readFileSync(file, "utf8").startsWith(stamp);
  } catch {
    return false;
  }
}

/** Runs a script that builds a module, which has said itself why it fails: gives what it prints. */
function build(script, args) {
  try {
    return execFileSync(join(root, script), args, {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
    }).trim();
  } catch (error) {
    console.error(`npm: the WebAssembly module was not built: ${error.message}`);
    process.exit(1);
  }
}

const of = (crate) => ["Cargo.toml", "Cargo.lock", "src"].map((part) => `${crate}/${part}`);
const library = [
  "Cargo.toml",
  ...of("crates/alkpubsub"),
  "crates/alkpubsub-wasm/toolchain",
  "npm/scripts/wasm.mjs",
];
const core = "crates/alkpubsub-wasm";
const iroh = "crates/alkpubsub-wasm-iroh";

const coreStamp = stampOf(...library, "Cargo.lock", ...of(core), `${core}/build`, "npm/scripts/pack.mjs");
/** The files, and the features that their modules are built with. */
for (const [name, features] of [
  ["packed.ts", []],
  ["packed-hub.ts", ["hub"]],
]) {
  const packed = path(`../src/core/${name}`);
  if (isCurrent(packed, coreStamp)) continue;
  const file = build(`${core}/build`, features);
  writeFileSync(packed, `${coreStamp}export const packed = ${JSON.stringify(pack(readFileSync(file)))};\n`);
  console.log(`packed ${file}`);
}

const irohStamp = stampOf(...library, ...of(iroh), `${iroh}/no-roots`, `${iroh}/build`);
const glue = path("../src/iroh/glue.js");
if (!isCurrent(glue, irohStamp)) {
  build(`${iroh}/build`, [path("../src/iroh")]);
  writeFileSync(glue, irohStamp + readFileSync(glue, "utf8"));
  console.log("built src/iroh/iroh.wasm");
}
