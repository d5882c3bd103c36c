import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Server } from "node:net";
import { afterEach, expect, test } from "vitest";
import { WebSocket } from "ws";
import { createPubSub } from "../src/index.js";
import { createSpoke, type SpokeOptions, type SpokeState } from "../src/spoke.js";
import { type HubProgram, startHub } from "./hub.js";
import { MemorySocket } from "./memory-socket.js";

const hubs: HubProgram[] = [];
const spokes: { close(): void }[] = [];
afterEach(async () => {
  for (const spoke of spokes.splice(0)) spoke.close();
  for (const hub of hubs.splice(0)) await hub.stop("SIGKILL");
});

async function hub(port?: number): Promise<HubProgram> {
  const started = await startHub(port);
  hubs.push(started);
  return started;
}

const soon = { first: 20, max: 50 };

/** A spoke of that hub, and its states. */
function spoke(url: string, options: SpokeOptions = {}) {
  const states: SpokeState[] = [];
  const waiting: (() => void)[] = [];
  const made = createSpoke(() => new WebSocket(url), {
    backoff: soon,
    ...options,
    onState(state) {
      states.push(state);
      for (const answer of waiting.splice(0)) answer();
    },
  });
  spokes.push(made);
  const reaches = async (status: SpokeState["status"]) => {
    while (states.at(-1)?.status !== status) await new Promise<void>((resolve) => waiting.push(resolve));
  };
  return { made, states, reaches };
}

test("lives through the death of its hub: one gap a topic, ahead of the first event of the next", async () => {
  const first = await hub();
  const port = Number(new URL(first.url).port);
  const { made, reaches, states } = spoke(first.url);
  const pubsub = createPubSub<{ tick: number; tock: number }>({ eventTarget: made });
  const ticks = pubsub.subscribe("tick", "1", { losses: true });
  const tocks = pubsub.subscribe("tock", "", { losses: true });
  expect(await ticks.ready).toEqual({ status: "confirmed" });
  expect(await tocks.ready).toEqual({ status: "confirmed" });
  expect(pubsub.publish("tick", "1", 1)).toBe(true);
  expect((await ticks.next()).value).toMatchObject({ payload: 1 });

  await first.stop("SIGKILL");
  await reaches("waiting");
  const errors: unknown[] = [];
  made.addEventListener("error", ({ detail }) => errors.push(detail.error));
  expect(pubsub.publish("tick", "1", 2)).toBe(false);
  expect(errors).toMatchObject([{ code: "disconnected" }]);

  await hub(port);
  const gaps = await Promise.all([ticks.next(), tocks.next()]);
  expect(gaps.map(({ value }) => value)).toEqual([
    { type: "__gap", reason: "disconnected", topic: "tick:1" },
    { type: "__gap", reason: "disconnected", topic: "tock:" },
  ]);
  expect(await made.ready?.("tick:1")).toEqual({ status: "confirmed" });
  expect(pubsub.publish("tick", "1", 3)).toBe(true);
  expect((await ticks.next()).value).toMatchObject({ payload: 3 });
  expect(states[0]?.status).toBe("connecting");
  expect(states.at(-1)?.status).toBe("connected");
});

test("events that are kept leave with the next connection, in order", async () => {
  const { url } = await hub();
  const heard = createPubSub<{ tick: number }>({ eventTarget: spoke(url).made }).subscribe("tick", "");
  await heard.ready;
  const pubsub = createPubSub<{ tick: number }>({ eventTarget: spoke(url, { keepEvents: true }).made });
  for (let n = 0; n < 1000; n++) expect(pubsub.publish("tick", "", n)).toBe(true);
  for (let n = 0; n < 1000; n++) expect((await heard.next()).value).toMatchObject({ payload: n });
});

test("all topics are asked for anew", async () => {
  const first = await hub();
  const { made, reaches } = spoke(first.url);
  await reaches("connected");
  const topics = Array.from({ length: 100 }, (_, n) => ["tick", String(n)] as const);
  const pubsub = createPubSub<{ tick: number }>({ eventTarget: made });
  const all = pubsub.subscribe(topics, { losses: true });
  await all.ready;
  await first.stop("SIGKILL");
  const gaps = new Set<string>();
  const told = new Promise<void>((resolve) => {
    made.addEventListener("gap", ({ detail }) => {
      if (gaps.add(String(detail.topic)).size === 100) resolve();
    });
  });
  await hub(Number(new URL(first.url).port));
  await told;
  // In the stream, gaps with nothing between them are one.
  expect((await all.next()).value).toMatchObject({ type: "__gap" });
  for (const [type, id] of topics) pubsub.publish(type, id, Number(id));
  for (let n = 0; n < 100; n++) expect((await all.next()).value).toMatchObject({ payload: n });
});

test("disconnect sends what was dispatched, and says that the hub has it", async () => {
  const { url } = await hub();
  const heard = createPubSub<{ tick: number }>({ eventTarget: spoke(url).made }).subscribe("tick", "");
  await heard.ready;
  const { made, reaches, states } = spoke(url);
  const pubsub = createPubSub<{ tick: number }>({ eventTarget: made });
  await reaches("connected");
  const closes: unknown[] = [];
  made.addEventListener("close", ({ detail }) => closes.push(detail));
  for (let n = 0; n < 100; n++) pubsub.publish("tick", "", n);
  const left = made.disconnect();
  expect(() => pubsub.publish("tick", "", 100)).toThrow("closed");
  expect(await left).toBe(true);
  for (let n = 0; n < 100; n++) expect((await heard.next()).value).toMatchObject({ payload: n });
  expect(states.at(-1)).toMatchObject({ status: "closed", code: 1000 });
  expect(closes).toEqual([{ code: 1000, reason: "closed by the program" }]);
});

/** A server that is none for WebSockets; its URL. */
async function listening(server: Server): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `ws://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

test("an attempt that takes too long is given up, and another made", async () => {
  const silent = createServer((socket) => socket.on("error", () => {}));
  const { made, reaches, states } = spoke(await listening(silent), { connectTimeout: 20 });
  await reaches("waiting");
  expect(states.at(-1)).toMatchObject({ reason: "no connection within 20 ms" });
  await reaches("connecting");
  made.close();
  expect(states.at(-1)).toEqual({ status: "closed", reason: "closed by the program" });
  silent.close();
});

test("without a hub it goes on trying; a socket that comes too late is closed", async () => {
  const { states, reaches } = spoke("ws://127.0.0.1:1/");
  for (let n = 0; n < 5; n++) {
    await reaches("waiting");
    await reaches("connecting");
  }
  expect(states.filter(({ status }) => status === "waiting").length).toBeGreaterThanOrEqual(5);
  const { url } = await hub();
  let late: WebSocket | undefined;
  const held = createSpoke(
    async () => {
      late = new WebSocket(url);
      await once(late, "open");
      held.close();
      return late;
    },
    { backoff: soon },
  );
  while (!late) await new Promise((resolve) => setImmediate(resolve));
  expect((await once(late, "close"))[0]).toBe(1000);
});

test("a status that another attempt would meet as well is the end, credentials that are renewed aside", async () => {
  const refusing = createHttpServer();
  refusing.on("upgrade", (_, socket) => socket.end("HTTP/1.1 401 Unauthorized\r\n\r\n"));
  const url = await listening(refusing);
  const { made, reaches, states } = spoke(url);
  await reaches("closed");
  expect(states.at(-1)).toMatchObject({ status: "closed", reason: expect.stringContaining("401") });
  expect(await made.ready?.("tick:")).toEqual({ status: "closed" });
  const renewing = spoke(url, { renewsCredentials: true });
  await renewing.reaches("waiting");
  await renewing.reaches("connecting");
  refusing.close();
});

test("close codes that say so are the end, all others are not", async () => {
  const { WebSocketServer } = await import("ws");
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  await once(server, "listening");
  const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  let code = 0;
  server.on("connection", (socket) => socket.close(code, "so it is"));
  for (code of [1000, 1002, 1007, 1008, 1009, 4008]) {
    const { reaches, states } = spoke(url);
    await reaches("closed");
    expect(states.at(-1)).toEqual({ status: "closed", code, reason: "so it is" });
  }
  for (code of [1001, 1011, 1013, 4000 + 13, 3000]) {
    const { made, reaches, states } = spoke(url, { backoff: { ...soon, later: 60_000 } });
    await reaches("waiting");
    expect(states.at(-1)).toMatchObject({ code, reason: "so it is" });
    const { retryAfter } = states.at(-1) as { retryAfter: number };
    if (code % 1000 === 13) expect(retryAfter).toBeGreaterThanOrEqual(60_000);
    else expect(retryAfter).toBeLessThan(50);
    made.close();
  }
  server.close();
});

test("a URL needs a WebSocket of the runtime's, and has to be one", () => {
  expect(() => createSpoke("ftp://127.0.0.1/")).toThrow(TypeError);
  expect(() => createSpoke("nonsense")).toThrow(TypeError);
  if (typeof (globalThis as { WebSocket?: unknown }).WebSocket === "undefined") {
    expect(() => createSpoke("ws://127.0.0.1/")).toThrow("no WebSocket");
  }
});

test("who asks it twice to disconnect is answered twice", async () => {
  const socket = new MemorySocket();
  const spoke = createSpoke(() => socket);
  const both = Promise.all([spoke.disconnect(), spoke.disconnect()]);
  socket.ends(1000);
  expect(await both).toEqual([true, true]);
});

test("a time without end to connect is no end at once", async () => {
  const states: string[] = [];
  const spoke = createSpoke(() => new MemorySocket(0), {
    connectTimeout: Infinity,
    onState: ({ status }) => states.push(status),
  });
  // A timer that was set for no time would have rung before this one.
  await new Promise((resolve) => setTimeout(resolve, 20));
  spoke.close();
  expect(states).toEqual(["connecting", "closed"]);
});
