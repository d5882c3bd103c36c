// Serves the page and starts a hub for it: node examples/browser/serve.mjs [--port 8080] [--hub ws://…]
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { root, serveFiles } from "./files.mjs";

const { values } = parseArgs({
  options: { port: { type: "string", default: "8080" }, hub: { type: "string" } },
});

if (!existsSync(fileURLToPath(new URL("npm/dist/index.js", root)))) {
  console.error("npm/dist is missing: cd npm && npm ci && npm run build");
  process.exit(1);
}
const { url } = await serveFiles(Number(values.port));
if (values.hub !== undefined) console.log(`${url}?hub=${encodeURIComponent(values.hub)}`);
else {
  console.log("starting a hub: cargo run --release -- hub");
  // Ctrl-C in a terminal reaches both.
  const hub = spawn("cargo", ["run", "-q", "--release", "--", "hub", "--listen", "127.0.0.1:0"], {
    cwd: fileURLToPath(root),
    stdio: ["ignore", "pipe", "inherit"],
  });
  hub.stdout.on("data", (line) => {
    const [found] = String(line).match(/ws:\S+/) ?? [];
    if (found) console.log(`${url}?hub=${encodeURIComponent(found)}`);
  });
  hub.on("exit", (code) => process.exit(code ?? 1));
}
