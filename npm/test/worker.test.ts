// Workers as they are: threads of Node with the package in them as it is built, and ports.
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import fc from "fast-check";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { createPubSub, PubSubError } from "../src/index.js";
import type { Notices, PubSubEventTarget } from "../src/types.js";
import * as web from "../src/worker.js";
import { createWorkerHostEventTarget, createWorkerThreadEventTarget } from "../src/worker-node.js";

const here = new URL(".", import.meta.url);
const npm = new URL("..", here);

beforeAll(() => {
  const newest = (folder: string): number =>
    Math.max(
      ...readdirSync(new URL(folder, npm), { withFileTypes: true }).map((entry) =>
        entry.isDirectory()
          ? newest(`${folder}${entry.name}/`)
          : statSync(new URL(folder + entry.name, npm)).mtimeMs,
      ),
    );
  const built = statSync(new URL("dist/event-target-worker-node.js", npm), {
    throwIfNoEntry: false,
  })?.mtimeMs;
  const current = built !== undefined && built >= newest("src/");
  if (!current)
    throw new Error("the threads of these tests import dist/, which is older than src/: npm run build");
});

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

const spawn = (workerData: object) => {
  const worker = new Worker(new URL("workers/thread.mjs", here), { workerData });
  ends.push(() => worker.terminate());
  return worker;
};
const channel = () => {
  const { port1, port2 } = new MessageChannel();
  ends.push(() => port1.close());
  return [port1, port2] as const;
};
/** The events of a topic, or the notices of a name, as they come. */
const hear = (target: PubSubEventTarget, ...names: string[]) => {
  const heard: unknown[] = [];
  for (const name of names) {
    target.addEventListener(
      name as never,
      (({ detail }: { detail: { payload?: unknown } }) => {
        heard.push(name.includes(":") ? detail.payload : detail);
      }) as never,
    );
  }
  return heard;
};
const next = (target: PubSubEventTarget, topic: string) =>
  new Promise<unknown>((resolve) => {
    const listener = ({ detail }: { detail: { payload?: unknown } }) => resolve(detail.payload);
    target.addEventListener(topic as "a:", listener, { once: true });
  });
const closed = (target: PubSubEventTarget) =>
  new Promise<Notices["close"]>((resolve) => {
    target.addEventListener("close", ({ detail }) => resolve(detail), { once: true });
  });
const send = (target: PubSubEventTarget, type: string, payload: unknown, id = "1") =>
  createPubSub({ eventTarget: target }).publish(type, id, payload);
const codeOf = (call: () => unknown) => {
  try {
    call();
  } catch (error) {
    return error instanceof PubSubError ? error.code : error;
  }
  return "nothing thrown";
};

describe("a worker and its host", () => {
  test("what is posted before the thread is there is not lost, and answers come", async () => {
    const target = createWorkerHostEventTarget(spawn({ task: "mirror" }));
    const heard = hear(target, "back:1");
    for (const n of [1, 2, 3]) send(target, "there", n);
    await expect.poll(() => heard).toEqual([1, 2, 3]);
    expect(target.stats()).toMatchObject({ sent: 3, received: 3, bad_input: 0, foreign: 0, links: 1 });
  });

  test("what is posted before a port is listened to is not lost", async () => {
    const [port1, port2] = channel();
    const here = createWorkerHostEventTarget(port1);
    for (const n of [1, 2, 3]) send(here, "a", n);
    // Turns go by, and a target that nobody listens to.
    const there = createWorkerHostEventTarget(port2);
    await new Promise(setImmediate);
    const heard = hear(there, "a:1");
    await expect.poll(() => heard).toEqual([1, 2, 3]);
  });

  test("100,000 events each way at once, in order, none lost", async () => {
    const count = 100_000;
    const target = createWorkerHostEventTarget(spawn({ task: "flood", count }));
    let [at, wrong] = [0, 0];
    const all = new Promise<void>((resolve) => {
      target.addEventListener("out:1", ({ detail }) => {
        if (detail.payload !== at) wrong++;
        if (++at === count) resolve();
      });
    });
    const heard = next(target, "heard:1");
    send(target, "go", null);
    for (let n = 0; n < count; n++) send(target, "in", n);
    await all;
    expect(wrong).toBe(0);
    expect(await heard).toEqual({ next: count, wrong: 0 });
  }, 20_000);

  test("payloads are cloned, and arrive as what they are", async () => {
    const target = createWorkerHostEventTarget(spawn({ task: "mirror" }));
    const payload = {
      map: new Map([["a", { b: 1 }]]),
      set: new Set([1]),
      date: new Date(7),
      bytes: new Uint8Array([1, 2, 3]).buffer,
      big: 7n,
      none: undefined,
      __own: 1,
      error: new RangeError("as it is"),
    } as { self?: unknown };
    payload.self = payload;
    const back = next(target, "back:1");
    send(target, "there", payload);
    const found = (await back) as typeof payload;
    expect(found).toEqual(payload);
    expect(found).not.toBe(payload);
    expect(found.self).toBe(found);
    for (const [value, name] of [
      [undefined, "Undefined"],
      [null, "Null"],
      [new Date(), "Date"],
      [new ArrayBuffer(1), "ArrayBuffer"],
    ]) {
      const told = next(target, "back:1");
      send(target, "which", value);
      expect(await told).toBe(`[object ${name}]`);
    }
  });

  test("an error of the thread: what it said before comes, then one close notice with the reason", async () => {
    const worker = spawn({ task: "crash" });
    const uncaught: unknown[] = [];
    worker.on("error", (error) => uncaught.push(error));
    const target = createWorkerHostEventTarget(worker);
    const heard = hear(target, "last:1");
    const events = createPubSub({ eventTarget: target }).subscribe("last", "2");
    const waiting = events.next();
    const end = closed(target);
    send(target, "crash", null);
    send(target, "crash", null, "2");
    expect(await end).toEqual({ reason: "the worker failed: RangeError: out of it" });
    expect(heard).toEqual([1, 2, 3]);
    expect((await waiting).done).toBe(true);
    expect(events.end).toEqual({ reason: "closed", detail: "the worker failed: RangeError: out of it" });
    expect(send(target, "last", 1)).toBe(false);
    expect(uncaught).toHaveLength(1);
    expect(hear(target, "close")).toEqual([]);
  });

  test("an error that the program does not handle stays uncaught", async () => {
    const worker = spawn({ task: "crash" });
    createWorkerHostEventTarget(worker);
    expect(worker.listenerCount("error")).toBe(0);
  });

  test.each([0, 7])("an exit with %i is told as a close", async (code) => {
    const target = createWorkerHostEventTarget(spawn({ task: "crash" }));
    const end = closed(target);
    send(target, "exit", code);
    expect(await end).toEqual({ reason: `the worker has ended with exit code ${code}` });
  });

  test("so is terminate(), and a worker that is gone already", async () => {
    const worker = spawn({ task: "mirror" });
    const target = createWorkerHostEventTarget(worker);
    const end = closed(target);
    await once(worker, "online");
    await worker.terminate();
    expect(await end).toEqual({ reason: "the worker has ended with exit code 1" });
    expect(await closed(createWorkerHostEventTarget(worker))).toEqual({
      reason: "the worker has ended before",
    });
  });

  test("a worker that cannot be loaded is told as a close", async () => {
    const worker = new Worker(new URL("workers/is-not-there.mjs", here));
    worker.on("error", () => undefined);
    const { reason } = await closed(createWorkerHostEventTarget(worker));
    expect(reason).toMatch(/^the worker failed: .*is-not-there/);
  });

  test("close() leaves the worker as it was given", async () => {
    const worker = spawn({ task: "mirror" });
    const own: unknown[] = [];
    worker.on("message", (message) => own.push(message));
    const names = () =>
      Object.fromEntries(worker.eventNames().map((name) => [name, worker.listenerCount(name)]));
    const before = names();
    const target = createWorkerHostEventTarget(worker);
    const heard = hear(target, "back:1");
    send(target, "there", 1);
    await expect.poll(() => heard).toEqual([1]);
    expect(own).toEqual([{ type: "back", id: "1", payload: 1 }]);
    const notices = hear(target, "close");
    target.close();
    target.close();
    expect(notices).toEqual([{ reason: "closed by the program" }]);
    expect(names()).toEqual(before);
    expect(codeOf(() => send(target, "there", 2))).toBe("closed");
    // It is alive, and another target takes it.
    const another = createWorkerHostEventTarget(worker);
    const back = next(another, "back:1");
    send(another, "there", 3);
    expect(await back).toBe(3);
    expect(heard).toEqual([1]);
  });
});

describe("a thread", () => {
  test("ends when it is done and listens to nothing", async () => {
    const worker = spawn({ task: "speaker" });
    const target = createWorkerHostEventTarget(worker);
    const heard = hear(target, "said:1");
    expect((await closed(target)).reason).toBe("the worker has ended with exit code 0");
    expect(heard).toEqual(["all"]);
  });

  test("lives while it listens, and ends with its last listener", async () => {
    const worker = spawn({ task: "once" });
    const target = createWorkerHostEventTarget(worker);
    const heard = hear(target, "said:1");
    const end = closed(target);
    await once(worker, "online");
    // Longer than it takes to load and to end.
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(send(target, "one", "last")).toBe(true);
    expect((await end).reason).toBe("the worker has ended with exit code 0");
    expect(heard).toEqual(["last"]);
  });

  test("ends when its target lets go", async () => {
    const target = createWorkerHostEventTarget(spawn({ task: "closes" }));
    const heard = hear(target, "said:1");
    const end = closed(target);
    send(target, "close", null);
    expect((await end).reason).toBe("the worker has ended with exit code 0");
    expect(heard).toEqual(["ready"]);
  });

  test("is something else than a main thread", () => {
    expect(codeOf(() => createWorkerThreadEventTarget())).toBe("no_worker");
    expect(codeOf(() => web.createWorkerThreadEventTarget())).toBe("no_worker");
  });
});

test.each(["worker", "port", "unref"])("no process is kept alive: %s", async (name) => {
  const file = new URL("workers/process.mjs", here).pathname;
  const { stdout } = await promisify(execFile)(process.execPath, [file, name], { timeout: 10_000 });
  expect(stdout).toBe("and back\n");
});

describe("two ends of a channel", () => {
  const both = () => {
    const ports = channel();
    const targets = ports.map((port) => createWorkerHostEventTarget(port)) as [
      PubSubEventTarget,
      PubSubEventTarget,
    ];
    return [...targets, ...ports] as const;
  };

  test("publish to each other at once, and do not hear themselves", async () => {
    const [one, two] = both();
    const [atOne, atTwo] = [hear(one, "a:1", "end:1"), hear(two, "a:1", "end:1")];
    for (let n = 0; n < 1000; n++) {
      send(one, "a", `one ${n}`);
      send(two, "a", `two ${n}`);
    }
    send(one, "end", "one");
    send(two, "end", "two");
    await expect.poll(() => [atOne.at(-1), atTwo.at(-1)]).toEqual(["two", "one"]);
    const wanted = (of: string) => [...Array.from({ length: 1000 }, (_, n) => `${of} ${n}`), of];
    expect([atOne, atTwo]).toEqual([wanted("two"), wanted("one")]);
  });

  test("are ready at once", async () => {
    const [one] = both();
    expect(await createPubSub({ eventTarget: one }).subscribe("a", "1").ready).toEqual({
      status: "confirmed",
    });
    expect(one.capabilities).toEqual({
      echo: false,
      order: "connection",
      carries: "clone",
      lifetime: "connection",
      confirms: true,
    });
  });

  test("the other end's close is told, after all that came before it", async () => {
    const [one, two, port] = both();
    const heard = hear(two, "a:1");
    const end = closed(two);
    for (const n of [1, 2, 3]) send(one, "a", n);
    port.close();
    expect(await end).toEqual({ reason: "the port is closed" });
    expect(heard).toEqual([1, 2, 3]);
  });

  test("what cannot be cloned is an error of the publisher, and nothing else", async () => {
    const [one, two] = both();
    const notices = hear(one, "error", "close");
    const heard = hear(two, "a:1");
    expect(codeOf(() => send(one, "a", () => 1))).toBe("not_cloneable");
    expect(codeOf(() => send(one, "a", { deep: [Symbol("a")] }))).toBe("not_cloneable");
    const thrown = new Error("of a getter");
    const trap = Object.defineProperty({}, "a", {
      enumerable: true,
      get() {
        throw thrown;
      },
    });
    expect(codeOf(() => send(one, "a", trap))).toBe("not_cloneable");
    expect(send(one, "a", 1)).toBe(true);
    await expect.poll(() => heard).toEqual([1]);
    expect(notices).toEqual([]);
    expect(one.stats()).toMatchObject({ sent: 1, rejected: 0 });
  });

  test("what is to be handed over is handed over, and not copied", async () => {
    const [port1, port2] = channel();
    const one = createWorkerHostEventTarget(port1, {
      transfer: ({ payload }) => (payload instanceof ArrayBuffer ? [payload] : []),
    });
    const two = createWorkerHostEventTarget(port2);
    const buffer = new Uint8Array([1, 2, 3]).buffer;
    const heard = next(two, "a:1");
    send(one, "a", buffer);
    expect(buffer.byteLength).toBe(0);
    expect(new Uint8Array((await heard) as ArrayBuffer)).toEqual(new Uint8Array([1, 2, 3]));
    const text = next(two, "a:1");
    expect(send(one, "a", "copied")).toBe(true);
    expect(await text).toBe("copied");
  });

  test("names that are no topic are refused before anything is posted", () => {
    const [one] = both();
    expect(codeOf(() => send(one, "__subscribe", {}))).toBe("reserved");
    expect(codeOf(() => send(one, "", {}))).toBe("bad_topic");
    expect(codeOf(() => send(one, "\ud800", {}))).toBe("bad_topic");
    const detail = { type: "a", id: "1", payload: 1, __own: 1 };
    expect(codeOf(() => one.dispatchEvent(Object.assign(new Event("a:1"), { detail }) as never))).toBe(
      "bad_topic",
    );
    expect(one.stats().sent).toBe(0);
  });

  test("a type and id that are too long are told, and not posted", () => {
    const [one] = both();
    const notices = hear(one, "error") as { error: PubSubError }[];
    expect(send(one, "a".repeat(70_000), 1)).toBe(false);
    expect(notices.map(({ error }) => error.code)).toEqual(["too_large"]);
    expect(one.stats()).toMatchObject({ sent: 0, rejected: 1 });
  });
});

/** What no end may take for an event. */
const WRONG: readonly [unknown, string][] = [
  [{ type: "", id: "1" }, "empty_type"],
  [{ type: 7, id: "1", payload: 1 }, "not_a_string"],
  [{ type: new Date(), id: "1" }, "not_a_string"],
  [{ type: "end", id: null, payload: 1 }, "not_a_string"],
  [{ type: "\udc00", id: "1" }, "lone_surrogate"],
  [{ type: "end", id: "\ud800" }, "lone_surrogate"],
  [{ type: "end", id: "1", payload: 1, __own: 1 }, "reserved_member"],
  [JSON.parse('{ "type": "end", "id": "1", "__proto__": { "payload": 1 } }'), "reserved_member"],
  [{ type: "end", id: "1".repeat(100_000) }, "too_large"],
];
/** What is somebody else's. */
const FOREIGN: readonly unknown[] = [
  undefined,
  null,
  7,
  "end",
  '{"type":"end","id":"1","payload":"of text"}',
  true,
  [],
  ["end", "1"],
  {},
  { type: "webpackWarnings" },
  { id: 1, method: "call" },
  new Map([["type", "end"]]),
  new ArrayBuffer(8),
];

describe("bad input", () => {
  /** A target, and the bare port at its other side. */
  const opened = () => {
    const [port, bare] = channel();
    const target = createWorkerHostEventTarget(port);
    const errors = hear(target, "error") as { error: PubSubError }[];
    return {
      target,
      bare: bare as MessagePort,
      errors,
      heard: hear(target, "end:1"),
      ended: hear(target, "close"),
    };
  };

  test("is refused by name, counted, and ends nothing", async () => {
    const { target, bare, errors, heard, ended } = opened();
    for (let round = 0; round < 50; round++) for (const [message] of WRONG) bare.postMessage(message);
    bare.postMessage({ type: "end", id: "1", payload: 1, other: [2] });
    await expect.poll(() => heard).toEqual([1]);
    expect(errors.map(({ error }) => error.code)).toEqual(Array(50 * WRONG.length).fill("bad_input"));
    for (const [at, [, name]] of WRONG.entries()) expect(errors[at]?.error.message).toContain(name);
    expect(target.stats()).toMatchObject({ bad_input: 50 * WRONG.length, foreign: 0, received: 1, links: 1 });
    expect(ended).toEqual([]);
  });

  test("is none where the port is used by others, too: their messages are let be", async () => {
    const { target, bare, errors, heard, ended } = opened();
    for (let round = 0; round < 50; round++) for (const message of FOREIGN) bare.postMessage(message);
    bare.postMessage({ type: "end", id: "1" });
    await expect.poll(() => heard).toEqual([undefined]);
    expect(target.stats()).toMatchObject({
      bad_input: 0,
      foreign: 50 * FOREIGN.length,
      received: 1,
      links: 1,
    });
    expect([errors, ended]).toEqual([[], []]);
  });

  test("control events reach no listener", async () => {
    const { target, bare, heard } = opened();
    const control = hear(target, "__subscribe:", "__gap:", "__ping:", "gap", "denied");
    for (const type of [
      "__subscribe",
      "__subscribed",
      "__denied",
      "__gap",
      "__ping",
      "__pong",
      "__close",
      "__new",
    ]) {
      bare.postMessage({ type, id: "", payload: { topic: "end:1", missed: 1, reason: "slow" } });
    }
    bare.postMessage({ type: "end", id: "1", payload: 1 });
    await expect.poll(() => heard).toEqual([1]);
    expect(control).toEqual([]);
  });

  test("from a thread does no harm to its host", async () => {
    const messages = [...FOREIGN, ...WRONG.map(([message]) => message)];
    const target = createWorkerHostEventTarget(spawn({ task: "hostile", messages }));
    const heard = next(target, "end:1");
    send(target, "go", null);
    expect(await heard).toBe("of them");
    expect(target.stats()).toMatchObject({ bad_input: WRONG.length, foreign: FOREIGN.length, received: 1 });
  });

  test("a message that cannot be read is counted and told, as an error and as a gap", () => {
    const { target, errors } = opened();
    const gaps = hear(target, "gap");
    const fake = new EventTarget() as EventTarget & web.WorkerLike;
    fake.postMessage = () => undefined;
    const lonely = createWorkerHostEventTarget(fake);
    const [told, lost] = [hear(lonely, "error"), hear(lonely, "gap")] as [
      { error: PubSubError }[],
      unknown[],
    ];
    fake.dispatchEvent(new Event("messageerror"));
    expect(told.map(({ error }) => error.code)).toEqual(["bad_input"]);
    expect(lost).toEqual([{ missed: null, reason: "unreadable" }]);
    expect(lonely.stats()).toMatchObject({ bad_input: 1, gaps: 1, links: 1 });
    expect([errors, gaps]).toEqual([[], []]);
  });

  test("whatever can be cloned harms nobody, and only what is an event is one", async () => {
    const { target, bare } = opened();
    const part = fc.oneof(fc.string(), fc.string({ unit: "binary" }), fc.integer(), fc.constant(undefined));
    const message = fc.oneof(
      fc.anything({ withDate: true, withMap: true, withSet: true, withTypedArray: true, withBigInt: true }),
      fc.dictionary(fc.constantFrom("type", "id", "payload", "__x", "x"), part),
      fc.record({ type: part, id: part, payload: fc.anything({ withMap: true }) }, { requiredKeys: [] }),
    );
    const before = target.stats();
    let posted = 0;
    fc.assert(
      fc.property(message, (data) => {
        bare.postMessage(data);
        posted++;
      }),
      { numRuns: 2000 },
    );
    const end = next(target, "fence:1");
    bare.postMessage({ type: "fence", id: "1" });
    await end;
    const { received = 0, foreign = 0, bad_input: bad = 0, links } = target.stats();
    expect([links, before.received]).toEqual([1, 0]);
    // Those that are events had no listener, and are counted nowhere.
    expect(received).toBe(1);
    expect(foreign + bad).toBeLessThanOrEqual(posted);
    expect(foreign).toBeGreaterThan(0);
    expect(bad).toBeGreaterThan(0);
  });
});

describe("in browsers", () => {
  /** What a browser's Worker is made of here: its events, by hand. */
  const worker = () => {
    const events = new EventTarget() as EventTarget & web.WorkerLike;
    events.postMessage = () => undefined;
    return events;
  };

  test("an uncaught error of the worker is told and ends nothing: it goes on", () => {
    const events = worker();
    const target = web.createWorkerHostEventTarget(events);
    const told = hear(target, "error", "close") as { error: Error }[];
    const heard = hear(target, "a:1");
    events.dispatchEvent(Object.assign(new Event("error"), { message: "Uncaught Error: boom", error: null }));
    events.dispatchEvent(Object.assign(new Event("message"), { data: { type: "a", id: "1", payload: 1 } }));
    expect(told.map(({ error }) => error.message)).toEqual(["Uncaught Error: boom"]);
    expect(heard).toEqual([1]);
  });

  test("a worker that could not be loaded is told as a close", () => {
    const events = worker();
    const target = web.createWorkerHostEventTarget(events);
    const told = hear(target, "error", "close");
    events.dispatchEvent(new Event("error"));
    expect(told).toEqual([{ reason: "the worker could not be loaded" }]);
    expect(target.stats().links).toBe(0);
  });

  test("what is no port is refused", () => {
    for (const create of [web.createWorkerHostEventTarget, createWorkerHostEventTarget]) {
      expect(() => create({ postMessage: () => undefined })).toThrow(TypeError);
      expect(() => create({ port: 1 } as never)).toThrow("its port is needed");
    }
  });
});

test("the example of the README runs, and prints what it says", async () => {
  const readme = readFileSync(new URL("README.md", npm), "utf8").split("\n## Workers\n")[1] ?? "";
  const files = [...readme.matchAll(/^```js\n\/\/ (\S+)\n([\s\S]*?)^```/gm)].slice(0, 2);
  expect(files.map(([, name]) => name)).toEqual(["main.mjs", "worker.mjs"]);
  const folder = mkdtempSync(join(tmpdir(), "pubsub-readme-"));
  ends.push(() => rmSync(folder, { recursive: true }));
  for (const [, name, code] of files) {
    const placed = (code as string).replace(/from "@alkdev\/pubsub(\/[^"]*)?"/g, (_, path?: string) => {
      const file = path === undefined ? "index" : `${path.slice(1)}-node`;
      return `from ${JSON.stringify(new URL(`dist/${file}.js`, npm).href)}`;
    });
    writeFileSync(join(folder, name as string), placed);
  }
  const { stdout } = await promisify(execFile)(process.execPath, [join(folder, "main.mjs")], {
    timeout: 10_000,
  });
  const wanted = [...(files[0]?.[2] ?? "").matchAll(/\/\/ prints: (.*)/g)].map(([, line]) => line);
  expect(stdout.trimEnd().split("\n")).toEqual(wanted);
  expect(pathToFileURL(folder).protocol).toBe("file:");
});
