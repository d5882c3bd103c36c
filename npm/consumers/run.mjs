// Packs the package, installs the tarball where nothing of this repository is in reach, and runs it there: in every
// runtime, through every bundler, under every way that TypeScript resolves modules. What it needs it installs beside
// itself, once.
//
//   npm run consumers            all of them
//   npm run consumers -- NAME…   those alone (the tarball is made and installed all the same)
//   npm run consumers -- --list  their names
//   npm run consumers -- --install   what they need, and no more
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { files } from "../entries.mjs";
import { wanted as key } from "./app/iroh-program.mjs";
import { wanted, workers } from "./app/program.mjs";

const execute = promisify(execFile);
const here = dirname(fileURLToPath(import.meta.url));
const npm = dirname(here);
const modules = join(here, "node_modules");
const bin = (name) => join(modules, ".bin", name);
/** No run takes longer than this, in milliseconds. */
const PATIENCE = 120_000;

async function run(file, args, options = {}) {
  const environment = { ...process.env, NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", ...options.env };
  // What npm sets for this script is not for those that it runs.
  for (const name of Object.keys(environment)) if (name.startsWith("npm_")) delete environment[name];
  try {
    const { stdout } = await execute(file, args, {
      timeout: PATIENCE,
      maxBuffer: 1 << 26,
      ...options,
      env: environment,
    });
    return stdout;
  } catch (error) {
    const said = `${error.stdout ?? ""}${error.stderr ?? ""}`.trim();
    throw new Error(`${[file, ...args].join(" ")}\n${said === "" ? error.message : said}`);
  }
}

/** Installs what package-lock.json says, unless that is here already. */
async function install() {
  const lock = readFileSync(join(here, "package-lock.json"));
  const stamp = `${createHash("sha256").update(lock).digest("hex")} ${process.version}\n`;
  const file = join(modules, ".stamp");
  if (existsSync(file) && readFileSync(file, "utf8") === stamp) return;
  console.log("installing npm/consumers/package-lock.json");
  await run("npm", ["ci", "--no-audit", "--no-fund"], { cwd: here, timeout: 600_000 });
  writeFileSync(file, stamp);
}

/** A folder of its own, outside of the repository, with the tarball installed as a user would. */
async function consumer() {
  const app = mkdtempSync(join(tmpdir(), "pubsub-consumers-"));
  const packed = JSON.parse(await run("npm", ["pack", "--json", "--pack-destination", app], { cwd: npm }));
  const tarball = join(app, packed[0].filename);
  cpSync(join(here, "app"), app, { recursive: true });
  writeFileSync(join(app, "package.json"), JSON.stringify({ private: true }));
  const cache = join(modules, ".npm-cache");
  const quiet = ["--no-audit", "--no-fund", "--no-package-lock", "--prefer-offline", "--cache", cache];
  await run("npm", ["install", ...quiet, tarball], { cwd: app });
  return { app, tarball };
}

/** The lines of the shared program, as they have to be. */
function program(stdout) {
  const lines = stdout.trim().split("\n");
  if (lines.join("\n") !== wanted.join("\n")) {
    throw new Error(`printed\n  ${lines.join("\n  ")}\ninstead of\n  ${wanted.join("\n  ")}`);
  }
}

const built = async (app, name) => program(await run(process.execPath, [join(app, name)], { cwd: app }));

/**
 * Type checks both programs: one of today, and one that was written for the package's ancestor. `ending` decides which
 * of the two modules TypeScript resolves; `options` are those of a tsconfig.
 */
async function types(app, name, ending, options) {
  const files = ["typed", "drop-in"].map((file) => {
    const as = `${file}-${name}.${ending}`;
    cpSync(join(app, `${file}.ts`), join(app, as));
    return as;
  });
  const config = join(app, `tsconfig.${name}.json`);
  const strict = {
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    noEmit: true,
    // The package's own types are part of what is looked at.
    skipLibCheck: false,
    target: "ES2022",
    lib: ["ES2022", "DOM"],
    types: [],
  };
  writeFileSync(config, JSON.stringify({ compilerOptions: { ...strict, ...options }, files }));
  await run(process.execPath, [join(modules, "typescript/bin/tsc"), "-p", config], { cwd: app });
}

const node = { typeRoots: [join(modules, "@types")], types: ["node"], lib: ["ES2022"] };
const node16 = { module: "node16", moduleResolution: "node16" };
const bundler = { module: "esnext", moduleResolution: "bundler" };

/** Bundlers that know what a page loads beside its program. */
const pages = {
  async webpack(context, entry, path) {
    const { default: webpack } = await import(pathToFileURL(join(modules, "webpack/lib/index.js")));
    const stats = await promisify(webpack)({
      mode: "production",
      target: ["web", "es2020"],
      context,
      entry: `./${entry}`,
      output: { path },
      performance: { hints: false },
    });
    const { errors, warnings } = stats.toJson({ all: false, errors: true, warnings: true });
    const said = [...errors, ...warnings].map(({ message }) => message).join("\n");
    if (said !== "") throw new Error(said);
  },
  async vite(root, entry, outDir) {
    const { build } = await import(pathToFileURL(join(modules, "vite/dist/node/index.js")));
    const preserveEntrySignatures = "strict";
    await build({
      root,
      configFile: false,
      logLevel: "error",
      build: {
        outDir,
        target: "es2020",
        rollupOptions: { input: join(root, entry), preserveEntrySignatures },
      },
    });
  },
};

const consumers = {
  "node esm": async ({ app }) => program(await run(process.execPath, ["esm.mjs"], { cwd: app })),
  "node cjs": async ({ app }) => program(await run(process.execPath, ["cjs.cjs"], { cwd: app })),
  "node 18 esm": async ({ app }) => program(await run(bin("node"), ["esm.mjs"], { cwd: app })),
  "node 18 cjs": async ({ app }) => program(await run(bin("node"), ["cjs.cjs"], { cwd: app })),
  "node 18 tests": async () => {
    await run(
      bin("node"),
      [join(npm, "node_modules/vitest/vitest.mjs"), "run", "--typecheck.enabled=false"],
      {
        cwd: npm,
      },
    );
  },
  "laws, node:test": async ({ app }) => {
    for (const node of [process.execPath, bin("node")]) {
      const said = await run(node, ["--test", "laws.test.mjs"], { cwd: app });
      const [, passed] = /^[#ℹ] pass (\d+)/m.exec(said) ?? [];
      if (!(Number(passed) > 20)) throw new Error(said);
    }
  },
  worker: async ({ app }) => program(await run(process.execPath, ["worker.mjs"], { cwd: app })),
  "worker, node 18": async ({ app }) => program(await run(bin("node"), ["worker.mjs"], { cwd: app })),
  bun: async ({ app }) => {
    program(await run(bin("bun"), ["esm.mjs"], { cwd: app }));
    program(await run(bin("bun"), ["cjs.cjs"], { cwd: app }));
  },
  deno: async ({ app }) => {
    const flags = ["run", "--quiet", "--no-prompt", "--node-modules-dir=manual"];
    program(await run(bin("deno"), [...flags, "esm.mjs"], { cwd: app }));
  },
  workers: async ({ app }) => {
    const deno = [bin("deno"), "run", "--quiet", "--no-prompt", "--allow-read", "--node-modules-dir=manual"];
    for (const [[file, ...flags], ...args] of [
      [[process.execPath]],
      [[bin("node")]],
      [[bin("bun")]],
      [[bin("bun")], "web"],
      [deno],
      // Nobody tells there that a worker was terminated.
      [deno, "web", "silent"],
    ]) {
      const found = (await run(file, [...flags, "workers.mjs", ...args], { cwd: app })).trim().split("\n");
      const wanted = workers.filter((line) => !args.includes("silent") || !line.startsWith("terminated"));
      // Bun tells of a Web Worker's error, and then of its end.
      const right = wanted.map((line) =>
        file === bin("bun") && args.includes("web") && line.startsWith("failed")
          ? "failed: the worker has ended with exit code n"
          : line,
      );
      if (found.join("\n") !== right.join("\n")) {
        throw new Error(
          `${file} ${args} printed\n  ${found.join("\n  ")}\ninstead of\n  ${right.join("\n  ")}`,
        );
      }
    }
  },
  "workers, for browsers": async ({ app }) => {
    const { build } = await import(pathToFileURL(join(modules, "esbuild/lib/main.js")));
    const path = "@alkdev/pubsub/event-target-worker";
    for (const platform of ["browser", "node"]) {
      const { outputFiles } = await build({
        absWorkingDir: app,
        stdin: { contents: `export * from "${path}";`, resolveDir: app },
        bundle: true,
        format: "esm",
        platform,
        write: false,
      });
      const has = /["']node:/.test(outputFiles[0].text);
      if (has !== (platform === "node"))
        throw new Error(`modules of Node in the bundle for ${platform}: ${has}`);
    }
  },
  "no WebAssembly": async ({ app }) => {
    for (const [args, right] of [
      // It has no compiler, and with it no WebAssembly.
      [["--jitless", "no-wasm.mjs"], /^PubSubError no_wasm: this runtime has no WebAssembly, .*\n$/],
      [["no-wasm.mjs", "refused"], /^PubSubError no_wasm: .*'wasm-unsafe-eval'.*disallowed by embedder\n$/],
    ]) {
      const found = await run(process.execPath, args, { cwd: app });
      if (!right.test(found)) throw new Error(`printed\n  ${found}\ninstead of\n  ${right}`);
    }
  },
  "server-side render": async ({ app }) => {
    const found = (await run(process.execPath, ["ssr.mjs"], { cwd: app })).trim();
    const right = "function; globals read while loading: none; added: none";
    if (found !== right) throw new Error(`printed\n  ${found}\ninstead of\n  ${right}`);
  },
  esbuild: async ({ app }) => {
    const { build } = await import(pathToFileURL(join(modules, "esbuild/lib/main.js")));
    const outfile = join(app, "out-esbuild.mjs");
    await build({
      absWorkingDir: app,
      entryPoints: ["bundled.mjs"],
      bundle: true,
      minify: true,
      format: "esm",
      platform: "browser",
      target: "es2020",
      outfile,
      logLevel: "silent",
    });
    await built(app, "out-esbuild.mjs");
  },
  webpack: async ({ app }) => {
    const { default: webpack } = await import(pathToFileURL(join(modules, "webpack/lib/index.js")));
    const stats = await promisify(webpack)({
      mode: "production",
      target: ["web", "es2020"],
      context: app,
      entry: "./bundled.mjs",
      output: { path: app, filename: "out-webpack.cjs" },
    });
    const { errors, warnings } = stats.toJson({ all: false, errors: true, warnings: true });
    const said = [...errors, ...warnings].map(({ message }) => message).join("\n");
    if (said !== "") throw new Error(said);
    await built(app, "out-webpack.cjs");
  },
  vite: async ({ app }) => {
    const { build } = await import(pathToFileURL(join(modules, "vite/dist/node/index.js")));
    const lib = { entry: "bundled.mjs", formats: ["es"], fileName: () => "out-vite.mjs" };
    await build({
      root: app,
      configFile: false,
      logLevel: "error",
      build: { lib, outDir: "out", target: "es2020", minify: true },
    });
    await built(app, "out/out-vite.mjs");
  },
  iroh: async ({ app }) => {
    for (const [file, ...args] of [
      [process.execPath, "iroh.mjs"],
      [process.execPath, "iroh.cjs"],
      [bin("bun"), "iroh.mjs"],
      [bin("bun"), "iroh.cjs"],
      [bin("deno"), "run", "--quiet", "--no-prompt", "--allow-read", "--node-modules-dir=manual", "iroh.mjs"],
    ]) {
      const found = (await run(file, args, { cwd: app })).trim();
      if (found !== key) throw new Error(`${file} ${args} printed\n  ${found}\ninstead of\n  ${key}`);
    }
  },
  // A file of its own, beside what asks for it; and nothing of it where nobody does.
  "iroh, for browsers": async ({ app }) => {
    for (const [entry, wanted] of [
      ["iroh-bundled.mjs", 1],
      ["others-bundled.mjs", 0],
    ]) {
      for (const [name, bundle] of Object.entries(pages)) {
        const out = join(app, `out-${name}-${entry}`);
        await bundle(app, entry, out);
        const files = readdirSync(out, { recursive: true }).map((file) => join(out, file));
        const modules = files.filter((file) => file.endsWith(".wasm"));
        const text = files.filter((file) => /js$/.test(file)).map((file) => readFileSync(file, "utf8"));
        const isAsked = text.some((text) => text.includes("__wbindgen"));
        if (modules.length !== wanted || isAsked !== !!wanted) {
          throw new Error(`${name} made of ${entry}:\n  ${files.join("\n  ")}`);
        }
        const ours = readFileSync(join(app, "node_modules/@alkdev/pubsub/dist/iroh.wasm"));
        for (const file of modules)
          if (!readFileSync(file).equals(ours)) throw new Error(`${file} is another`);
      }
    }
  },
  "types node16 esm": ({ app }) => types(app, "esm", "mts", node16),
  "types node16 cjs": ({ app }) => types(app, "cjs", "cts", node16),
  "types bundler": ({ app }) => types(app, "bundler", "ts", bundler),
  "types without the DOM": ({ app }) => types(app, "node", "mts", { ...node16, ...node }),
  publint: async ({ tarball }) => {
    await run(process.execPath, [bin("publint"), "run", tarball, "--strict"], { cwd: here });
  },
  attw: async ({ tarball }) => {
    const flags = ["--no-emoji", "--profile", "node16", "--exclude-entrypoints", ...files];
    await run(process.execPath, [bin("attw"), tarball, ...flags], { cwd: here });
  },
};

const names = process.argv.slice(2);
if (names.includes("--list")) {
  console.log(Object.keys(consumers).join("\n"));
  process.exit();
}
if (names.includes("--install")) {
  await install();
  process.exit();
}
for (const name of names) {
  if (name in consumers) continue;
  console.error(`no consumer is called "${name}"; there are:\n${Object.keys(consumers).join("\n")}`);
  process.exit(2);
}

if (!existsSync(join(npm, "dist"))) {
  console.error("npm/dist is not there: npm run build");
  process.exit(1);
}
const started = performance.now();
await install();
const made = await consumer();
const prepared = performance.now() - started;
console.log(`packed and installed${"".padEnd(6)} ${(prepared / 1000).toFixed(1).padStart(5)} s`);
const queue = Object.entries(consumers).filter(([name]) => names.length === 0 || names.includes(name));
const count = queue.length;
const failed = [];
async function work() {
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const [name, consume] = next;
    const since = performance.now();
    try {
      await consume(made);
    } catch (error) {
      failed.push([name, error]);
    }
    const ok = failed.some(([of]) => of === name) ? "FAILED" : "ok";
    console.log(`${name.padEnd(26)} ${((performance.now() - since) / 1000).toFixed(1).padStart(5)} s  ${ok}`);
  }
}
await Promise.all(Array.from({ length: availableParallelism() }, work));
for (const [name, error] of failed) console.error(`\n== ${name}\n${error.message}`);
if (failed.length === 0) rmSync(made.app, { recursive: true });
else console.error(`\nleft to look at: ${made.app}`);
const seconds = ((performance.now() - started) / 1000).toFixed(1);
console.log(`\nconsumers: ${count - failed.length} passed, ${failed.length} failed, ${seconds} s`);
process.exitCode = failed.length === 0 ? 0 : 1;
