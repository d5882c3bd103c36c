import { afterEach, expect, test } from "vitest";
import { WebSocket } from "ws";
import { createPubSub } from "../src/index.js";
import { createSpoke, type SpokeOptions, type SpokeState } from "../src/spoke.js";
import { type HubProgram, startHub } from "./hub.js";

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

test("a URL needs a WebSocket of the runtime's, and has to be one", () => {
  expect(() => createSpoke("ftp://127.0.0.1/")).toThrow(TypeError);
  expect(() => createSpoke("nonsense")).toThrow(TypeError);
  if (typeof (globalThis as { WebSocket?: unknown }).WebSocket === "undefined") {
    expect(() => createSpoke("ws://127.0.0.1/")).toThrow("no WebSocket");
  }
});
