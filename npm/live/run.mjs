// The package beside the hub program, in a real browser and in every runtime: npm run live [-- NAME…], after
// `npm run build`.
//
// ALKPUBSUB_PROGRAM is the hub (target/debug/alkpubsub unless set), CHROMIUM the browser (/usr/bin/chromium). Bun and
// Deno are those of consumers/node_modules. A screenshot of the page is left in live/page.png.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { createPubSub as yoga } from "@graphql-yoga/subscription";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { WebSocket } from "ws";
import { root, serveFiles } from "../../examples/browser/files.mjs";
import { createWebSocketClientEventTarget } from "../dist/event-target-websocket-client.js";
import { createPayloadEventTarget } from "../dist/payload-target.js";
import { irohCases } from "./iroh.mjs";

const here = new URL("./", import.meta.url);
const npm = new URL("../", here);
const path = (url) => fileURLToPath(url);
const program = process.env.ALKPUBSUB_PROGRAM ?? path(new URL("target/debug/alkpubsub", root));
const relayProgram = join(dirname(program), "alkpubsub-test-relay");
const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";
for (const [what, file] of [
  ["the program (cargo build)", program],
  ["the relay (cargo build --workspace)", relayProgram],
  ["Chromium", executablePath],
  ["the package (npm run build)", path(new URL("npm/dist/index.js", root))],
]) {
  if (!existsSync(file)) throw new Error(`missing: ${what}, at ${file}`);
}

const running = [];
/** What the programs of a case said on standard error, which is shown if it fails. */
let said = [];
/** Starts a file, and reads its lines. */
function startFile(file, ...args) {
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "pipe"] });
  running.push(child);
  child.stderr.on("data", (text) => said.push(`${args[0]}: ${text}`));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async () => (await lines.next()).value;
  /** Passes over lines up to one that matches. */
  const until = async (pattern) => {
    for (let found = await line(); found !== undefined; found = await line()) if (pattern.test(found)) return;
  };
  return { child, line, until };
}
/** The same for the program. */
const start = (...args) => startFile(program, ...args);
async function startHub(at = "ws://127.0.0.1:0") {
  const hub = start("hub", "--listen", new URL(at).host);
  const [url] = (await hub.line()).match(/ws:\S+/);
  return { ...hub, url };
}

/** A relay of iroh's, which can be stopped and started again at the same address. */
async function startRelay() {
  const listen = async (...at) => {
    const relay = startFile(relayProgram, ...at);
    const [url] = (await relay.line()).match(/http:\S+/);
    return { ...relay, url };
  };
  let relay = await listen();
  const { url } = relay;
  return {
    url,
    async stop() {
      const ended = once(relay.child, "exit");
      relay.child.kill("SIGKILL");
      await ended;
    },
    async startAgain() {
      relay = await listen(new URL(url).host);
    },
  };
}

const bundles = mkdtempSync(join(tmpdir(), "pubsub-browser-"));
const { warnings } = await build({
  entryPoints: ["laws-page.js", "laws-worker.js", "policy.js", "worker-page.js", "worker-thread.js"].map(
    (name) => path(new URL(name, here)),
  ),
  outdir: bundles,
  bundle: true,
  format: "iife",
  minify: true,
});
assert.deepEqual(warnings, []);
// As modules, for the place of a file beside them.
const modules = await build({
  entryPoints: [path(new URL("iroh-page.js", here))],
  outdir: bundles,
  bundle: true,
  splitting: true,
  format: "esm",
  minify: true,
});
assert.deepEqual(modules.warnings, []);
for (const name of ["laws.html", "policy.html", "worker.html", "iroh.html"])
  cpSync(new URL(name, here), join(bundles, name));
cpSync(new URL("../dist/iroh.wasm", here), join(bundles, "iroh.wasm"));

// What a policy has to allow, and one that forgets it.
const base = "default-src 'none'; connect-src *; style-src 'self'; worker-src 'self'; script-src 'self'";
const policies = { strict: `${base} 'wasm-unsafe-eval'`, stricter: base };
// Of a page that is given a ticket: the module's file, and the relay that the ticket names.
policies.exact = policies.strict.replace("connect-src *", "connect-src 'self' ws://127.0.0.1:*");
const served = await serveFiles(0, {
  more: Object.fromEntries(
    ["laws", ...Object.keys(policies)].map((name) => [name, pathToFileURL(`${bundles}/`)]),
  ),
  headers(pathname) {
    const policy = policies[pathname.split("/")[1]];
    return policy === undefined ? {} : { "content-security-policy": policy };
  },
});
const profile = mkdtempSync(join(tmpdir(), "pubsub-chromium-"));
const context = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  viewport: { width: 720, height: 560 },
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});

/** A tab. What goes wrong in it is an error here. */
async function open(at) {
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") errors.push(message.text());
  });
  await page.goto(served.url + at);
  return { page, errors };
}
const hasState = (page, state) => page.waitForSelector(`#state[data-state="${state}"]`);
const hasEvent = (page, text) => page.locator("#events li", { hasText: text }).waitFor();

const cases = {
  async page() {
    const hub = await startHub();
    const at = `?room=${encodeURIComponent("lobby é")}&hub=${encodeURIComponent(hub.url)}`;
    const [one, two] = [await open(at), await open(at)];
    for (const { page } of [one, two]) await hasState(page, "confirmed");
    const sub = start("sub", hub.url, "message.sent", "lobby é");
    // What is said in a tab is heard in each and by the program; again and again, as nobody knows when the program
    // has subscribed.
    const heard = sub.line();
    let line;
    for (let n = 0; line === undefined; n++) {
      await one.page.fill("#text", `from a tab: ü € ${n}`);
      await one.page.click("button");
      line = await Promise.race([heard, new Promise((resolve) => setTimeout(resolve, 200))]);
    }
    const last = JSON.parse(line);
    assert.equal(last.type, "message.sent");
    assert.match(last.payload.text, /^from a tab: ü € \d+$/);
    await hasEvent(two.page, last.payload.text);
    await hasEvent(one.page, last.payload.text);
    const pub = start("pub", hub.url, "message.sent", "lobby é", '{"text":"from the program"}');
    assert.deepEqual(await once(pub.child, "exit"), [0, null]);
    for (const { page } of [one, two]) await hasEvent(page, "from the program");
    do line = await sub.line();
    while (JSON.parse(line).payload.text !== "from the program");
    await two.page.screenshot({ path: path(new URL("page.png", here)) });
    assert.deepEqual([...one.errors, ...two.errors], []);
    // The hub dies, and another takes its place.
    hub.child.kill("SIGKILL");
    for (const { page } of [one, two]) await hasState(page, "waiting");
    await startHub(hub.url);
    for (const { page } of [one, two]) {
      await hasEvent(page, "some messages may be missing here");
      await hasState(page, "confirmed");
    }
    await two.page.fill("#text", "from the other tab");
    await two.page.click("button");
    await hasEvent(one.page, "from the other tab");
    for (const { page } of [one, two]) await page.close();
  },

  async "one socket for many tabs"() {
    const hub = await startHub();
    const at = `shared.html?hub=${encodeURIComponent(hub.url)}`;
    const first = await open(at);
    await hasState(first.page, "connected");
    const others = [await open(at), await open(at)];
    for (const { page } of others) await hasState(page, "listening");
    const say = async (from, text, tabs) => {
      await from.page.fill("#text", text);
      await from.page.click("button");
      for (const { page } of tabs) await hasEvent(page, text);
    };
    await say(others[0], "from a tab without a socket", [first, ...others]);
    await say(first, "from the one that has it", [first, ...others]);
    // The tab with the socket is closed, and another takes over.
    await first.page.close();
    const next = await Promise.race(others.map((tab) => hasState(tab.page, "connected").then(() => tab)));
    const last = others.find((tab) => tab !== next);
    await hasState(last.page, "listening");
    await say(last, "after the first one's end", others);
    const texts = await last.page.locator("#events li").allTextContents();
    assert.deepEqual(texts, [
      "from a tab without a socket",
      "from the one that has it",
      "after the first one's end",
    ]);
    assert.deepEqual([...first.errors, ...others.flatMap(({ errors }) => errors)], []);
    // The one with the socket last: nobody is there to take over.
    for (const { page } of [last, next]) await page.close();
    const ended = once(hub.child, "exit");
    hub.child.kill("SIGTERM");
    await ended;
    // One socket at a time: that of the first tab, and that of its successor.
    assert.match(said.join(""), /connections=2 /);
  },

  async "laws in a page"() {
    await laws("page");
  },
  async "laws in a worker"() {
    await laws("worker");
  },

  async "a worker of a page"() {
    const { page, errors } = await open("laws/worker.html");
    await page.waitForSelector("#done");
    const text = await page.textContent("#done");
    assert.match(text, /^same: true; in order: 10000; .*nothing is not defined/);
    // The page's console has what its worker threw, as always.
    assert.equal(errors.filter((error) => !error.includes("nothing is not defined")).join(), "");
    await page.close();
  },

  async "strict policy"() {
    const hub = await startHub();
    const { page, errors } = await open(`strict/policy.html?hub=${encodeURIComponent(hub.url)}`);
    await page.waitForSelector("#done");
    assert.equal(await page.textContent("#done"), 'in-process: 1; through the hub: {"n":42}');
    assert.deepEqual(errors, []);
    await page.close();
  },
  async "a policy without wasm-unsafe-eval"() {
    const { page } = await open("stricter/policy.html?hub=none");
    await page.waitForSelector("#done");
    const text = await page.textContent("#done");
    assert.match(text, /^in-process: 1; PubSubError no_wasm: .*'wasm-unsafe-eval'/);
    await page.close();
  },
};

cases["graphql-yoga"] = async () => {
  const hub = await startHub();
  const heard = [];
  const pubsubs = await Promise.all(
    ["one", "two"].map(async (name) => {
      const socket = new WebSocket(hub.url);
      const target = createWebSocketClientEventTarget(socket);
      const pubsub = yoga({ eventTarget: createPayloadEventTarget(target) });
      const events = pubsub.subscribe("user:follow", "1");
      heard.push(events.next().then(({ value }) => `${name}: ${value}`));
      assert.equal((await target.ready("user:follow:1")).status, "confirmed");
      return pubsub;
    }),
  );
  pubsubs[0].publish("user:follow", "1", "Ada");
  assert.deepEqual(await Promise.all(heard), ["one: Ada", "two: Ada"]);
};

const runtimes = {
  Node: [process.execPath],
  Bun: [path(new URL("consumers/node_modules/.bin/bun", npm))],
  Deno: [
    path(new URL("consumers/node_modules/.bin/deno", npm)),
    "run",
    "--allow-all",
    "--no-lock",
    "--node-modules-dir=manual",
  ],
};
/** The laws in a runtime, through a hub. */
async function lawsIn([file, ...before], ...hub) {
  const args = [...before, path(new URL("laws-program.mjs", here)), ...hub];
  const { stdout } = await promisify(execFile)(file, args, { timeout: 60_000 });
  judge(stdout.trim());
}
for (const [name, command] of Object.entries(runtimes)) {
  cases[`laws in ${name}`] = async () => lawsIn(command, (await startHub()).url);

  cases[`our hub in ${name}`] = async () => {
    const [file, ...before] = command;
    const hub = startFile(file, ...before, path(new URL("server-program.mjs", here)));
    const [url] = (await hub.line()).match(/ws:\S+/);
    await lawsIn(runtimes.Node, url);

    // The program's spokes. What is published goes to those who have subscribed by then.
    const sub = start("sub", url, "message.sent", "é");
    const heard = sub.line();
    let line;
    while (line === undefined) {
      const pub = start("pub", url, "message.sent", "é", '{"text":"from the program"}');
      assert.deepEqual(await once(pub.child, "exit"), [0, null]);
      line = await Promise.race([heard, new Promise((resolve) => setTimeout(resolve, 200))]);
    }
    assert.deepEqual(JSON.parse(line), {
      type: "message.sent",
      id: "é",
      payload: { text: "from the program" },
    });

    // Where a runtime refuses 1007, 1009 and 1013, it is 4007, 4009 and 4013.
    const bad = await opened(url);
    for (let n = 0; n < 100; n++) bad.send("{}");
    assert.equal((await once(bad, "close"))[0] % 1000, 7);
    const long = await opened(url);
    long.send("x".repeat(65_537));
    assert.equal((await once(long, "close"))[0] % 1000, 9);

    // Who reads too slowly is let go of; who reads hears everything.
    const [slow, quick, publisher] = [await opened(url), await opened(url), await opened(url)];
    const subscribe = { type: "__subscribe", id: "", payload: { topic: "much:" } };
    for (const socket of [slow, quick]) {
      socket.send(JSON.stringify(subscribe));
      await once(socket, "message");
    }
    slow._socket.pause();
    const much = JSON.stringify({ type: "much", id: "", payload: "x".repeat(60_000) });
    let isGone = false;
    hub.until(/^gone [14]013$/).then(() => {
      isGone = true;
    });
    while (!isGone) {
      publisher.send(much);
      const [text] = await once(quick, "message");
      assert.equal(String(text), much);
    }
    slow._socket.resume();
    assert.equal((await once(slow, "close"))[0] % 1000, 13);
  };
}

async function opened(url) {
  const socket = new WebSocket(url);
  await once(socket, "open");
  return socket;
}

/** Judges the lines that `run` of laws.js gives. */
function judge(text) {
  const lines = text.split("\n");
  const kept = lines.filter((line) => line.startsWith("kept")).length;
  console.log(`  ${kept} laws kept`);
  assert.deepEqual(
    lines.filter((line) => line.startsWith("FAILED")),
    [],
  );
  assert.ok(kept >= 45, `only ${kept} laws ran`);
}

async function laws(where) {
  const hub = await startHub();
  const { page, errors } = await open(`laws/laws.html?where=${where}&hub=${encodeURIComponent(hub.url)}`);
  await page.waitForSelector("#done");
  judge(await page.textContent("#done"));
  assert.deepEqual(errors, []);
  await page.close();
}

Object.assign(cases, irohCases({ start, startRelay, open, hasState, hasEvent, judge, lawsIn, runtimes }));

const chosen = process.argv.slice(2);
let failures = 0;
try {
  for (const [name, check] of Object.entries(cases)) {
    if (chosen.length && !chosen.includes(name)) continue;
    const since = performance.now();
    said = [];
    try {
      await check();
      console.log(`ok      ${name} (${Math.round(performance.now() - since)} ms)`);
    } catch (error) {
      failures++;
      console.log(`FAILED  ${name}\n${error.stack ?? error}\n${said.join("")}`);
    }
    for (const child of running.splice(0)) child.kill("SIGKILL");
  }
} finally {
  await context.close();
  served.close();
  for (const folder of [bundles, profile]) rmSync(folder, { recursive: true, force: true });
}
process.exitCode = failures ? 1 : 0;
