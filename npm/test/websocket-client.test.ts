import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test, vi } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { createPubSub } from "../src/index.js";
import { createWebSocketClientEventTarget, type WebSocketClientOptions } from "../src/websocket-client.js";
import { asks, leaves, MemorySocket } from "./memory-socket.js";

type Events = { tick: unknown; tock: unknown };

function made(options?: WebSocketClientOptions, socket = new MemorySocket()) {
  const target = createWebSocketClientEventTarget<Events>(socket, options);
  const notices: [string, unknown][] = [];
  for (const name of ["close", "gap", "denied", "error"] as const) {
    target.addEventListener(name, ({ type, detail }) => notices.push([type, detail]));
  }
  return { socket, target, notices, pubsub: createPubSub<Events>({ eventTarget: target }) };
}

const tick = (payload: unknown) => ({ type: "tick", id: "1", payload });
const status = (promise: Promise<{ status: string }> | undefined) => promise?.then((found) => found.status);
/** How a promise stands in some turns from now. */
const settles = (promise: Promise<unknown>) =>
  Promise.race([promise, new Promise((resolve) => setTimeout(resolve, 5, "open"))]);

afterEach(() => {
  vi.useRealTimers();
});

describe("subscriptions", () => {
  test("the first listener of a topic asks, the last that goes takes it back, whatever kind of going it is", () => {
    const { socket, target } = made();
    const [one, two] = [() => {}, () => {}];
    target.addEventListener("tick:1", one);
    target.addEventListener("tick:1", one);
    target.addEventListener("tick:1", two);
    target.addEventListener("tock:", two);
    expect(socket.takes()).toEqual([asks("tick:1"), asks("tock:")]);
    target.removeEventListener("tick:1", one);
    target.removeEventListener("tick:1", one);
    expect(socket.takes()).toEqual([]);
    target.removeEventListener("tick:1", two);
    expect(socket.takes()).toEqual([leaves("tick:1")]);

    const control = new AbortController();
    target.addEventListener("tick:1", one, { once: true });
    target.addEventListener("tick:1", two, { signal: control.signal });
    expect(socket.takes()).toEqual([asks("tick:1")]);
    socket.says(tick(1));
    expect(socket.takes()).toEqual([]);
    control.abort();
    expect(socket.takes()).toEqual([leaves("tick:1")]);
  });

  test("ready is the hub's answer; one answer for each question", async () => {
    const { socket, target } = made();
    const listener = () => {};
    target.addEventListener("tick:1", listener);
    const ready = target.ready?.("tick:1") as Promise<unknown>;
    target.removeEventListener("tick:1", listener);
    target.addEventListener("tick:1", listener);
    const again = target.ready?.("tick:1") as Promise<unknown>;
    socket.tells("subscribed", { topic: "tick:1" });
    expect(await settles(again)).toBe("open");
    socket.tells("subscribed", { topic: "tick:1" });
    expect(await again).toEqual({ status: "confirmed" });
    // Whoever asked before it was taken back has the answer of that time, which is that nobody listens.
    expect(await ready).toEqual({ status: "unconfirmed" });
  });

  test("a denied topic ends its streams alone, and is asked for anew by the next", async () => {
    const { socket, pubsub, notices } = made();
    const [ticks, tocks] = [pubsub.subscribe("tick", "1"), pubsub.subscribe("tock", "")];
    const reads = [ticks.next(), tocks.next()];
    const ready = ticks.ready;
    socket.takes();
    socket.tells("denied", { topic: "tick:1", action: "subscribe", reason: "too_many_subscriptions" });
    expect(await reads[0]).toEqual({ done: true, value: undefined });
    expect(await ready).toEqual({ status: "denied", reason: "too_many_subscriptions" });
    expect(ticks.end).toEqual({ reason: "denied", detail: "too_many_subscriptions" });
    expect(notices).toEqual([
      ["denied", { topic: "tick:1", action: "subscribe", reason: "too_many_subscriptions" }],
    ]);
    expect(socket.takes()).toEqual([]);
    const second = pubsub.subscribe("tick", "1");
    const answer = second.ready;
    expect(socket.takes()).toEqual([asks("tick:1")]);
    socket.tells("subscribed", { topic: "tick:1" });
    expect(await answer).toEqual({ status: "confirmed" });
    socket.says({ type: "tock", id: "", payload: 7 });
    expect((await reads[1])?.value).toMatchObject({ payload: 7 });
  });

  test("a denied publication is told and ends nothing; an unknown reason reads as not_allowed", async () => {
    const { socket, pubsub, notices } = made();
    const ticks = pubsub.subscribe("tick", "1");
    const read = ticks.next();
    socket.tells("denied", { topic: "tick:1", action: "publish", reason: "full moon" });
    expect(notices).toEqual([["denied", { topic: "tick:1", action: "publish", reason: "not_allowed" }]]);
    socket.says(tick(1));
    expect((await read).value).toMatchObject({ payload: 1 });
  });

  test("a hub that does not answer is waited for once, two seconds, and the events come all the same", async () => {
    vi.useFakeTimers();
    const { socket, target, pubsub } = made();
    const ticks = pubsub.subscribe("tick", "1");
    const ready = status(ticks.ready);
    let settled = false;
    void ready?.then(() => {
      settled = true;
    });
    socket.says(tick(1));
    await vi.advanceTimersByTimeAsync(1999);
    expect(settled).toBe(false);
    await vi.advanceTimersByTimeAsync(2);
    expect(await ready).toBe("unconfirmed");
    expect((await ticks.next()).value).toMatchObject({ payload: 1 });
    target.addEventListener("tock:", () => {});
    expect(await status(target.ready?.("tock:"))).toBe("unconfirmed");
    expect(vi.getTimerCount()).toBe(0);
  });

  test("nothing is forwarded where nothing is wanted", async () => {
    const { socket, target, pubsub } = made({ forwardSubscriptions: false });
    const ticks = pubsub.subscribe("tick", "1");
    expect(await status(ticks.ready)).toBe("unconfirmed");
    socket.says(tick(1));
    expect((await ticks.next()).value).toMatchObject({ payload: 1 });
    expect(socket.takes()).toEqual([]);
    expect(target.capabilities.confirms).toBe(false);
  });

  test("a gap of one topic, of all, and of an unknown reason", () => {
    const { socket, notices } = made();
    socket.tells("gap", { topic: "tick:1", missed: 3, reason: "slow" });
    socket.tells("gap", { missed: null, reason: "broker" });
    socket.tells("gap", { reason: "tide" });
    expect(notices).toEqual([
      ["gap", { topic: "tick:1", missed: 3, reason: "slow" }],
      ["gap", { missed: null, reason: "broker" }],
      ["gap", { missed: null, reason: "slow" }],
    ]);
  });

  test("topics may hold anything, line breaks too", async () => {
    const { socket, target, notices } = made();
    for (const topic of ["a:\n", "\n:b", "ü:€\u{1f600}", ":", "a:b:c"]) {
      const heard = vi.fn();
      target.addEventListener(topic as "a:b", heard);
      expect(socket.takes()).toEqual([asks(topic)]);
      const [type = "", id = ""] =
        topic === ":" ? ["", ""] : [topic.slice(0, topic.indexOf(":")), topic.slice(topic.indexOf(":") + 1)];
      if (type) socket.says({ type, id, payload: topic });
      expect(heard).toHaveBeenCalledTimes(type ? 1 : 0);
      if (type)
        expect(heard.mock.calls[0]?.[0]).toMatchObject({ type: topic, detail: { type, id, payload: topic } });
      socket.tells("denied", { topic, action: "subscribe", reason: "broker" });
      expect(notices.pop()).toEqual(["denied", { topic, action: "subscribe", reason: "broker" }]);
    }
    const heard = vi.fn();
    target.addEventListener("a:b:c", heard);
    socket.says({ type: "a:b", id: "c", payload: 1 });
    socket.says({ type: "a", id: "b:c", payload: 2 });
    expect(heard.mock.calls.map(([event]) => [event.detail.type, event.detail.id])).toEqual([
      ["a:b", "c"],
      ["a", "b:c"],
    ]);
  });
});

describe("events", () => {
  test("the wire is one text for one envelope; what JSON.parse makes of it is heard", () => {
    const { socket, target, pubsub } = made();
    const heard = vi.fn();
    target.addEventListener("tick:1", ({ detail }) => heard(detail));
    socket.takes();
    for (const payload of [undefined, null, 0, "", false, [1], { a: { b: "ü" } }])
      pubsub.publish("tick", "1", payload);
    expect(socket.sent.splice(0)).toEqual([
      '{"type":"tick","id":"1"}',
      '{"type":"tick","id":"1","payload":null}',
      '{"type":"tick","id":"1","payload":0}',
      '{"type":"tick","id":"1","payload":""}',
      '{"type":"tick","id":"1","payload":false}',
      '{"type":"tick","id":"1","payload":[1]}',
      '{"type":"tick","id":"1","payload":{"a":{"b":"ü"}}}',
    ]);
    for (const text of [
      '{"type":"tick","id":"1"}',
      ' { "x" : 1 , "payload" : {"a":1,"a":2} , "id" : "1" , "t\\u0079pe" : "tick" } ',
      '{"id":"1","payload":"ü€\u{1f600}","type":"tick"}',
      '{"ü":"€","type":"tick","id":"1","payload":["ü"]}',
    ]) {
      socket.says(text);
      socket.says(new TextEncoder().encode(text).buffer);
    }
    const payloads = [undefined, { a: 2 }, "ü€\u{1f600}", ["ü"]];
    expect(heard.mock.calls.map(([envelope]) => envelope)).toEqual(
      payloads.flatMap((payload) => [tick(payload), tick(payload)]),
    );
    expect(target.stats()).toMatchObject({ sent: 7, received: 8, bad_input: 0 });
  });

  test("what may not be sent is an error before anything is sent", () => {
    const { socket, target, pubsub } = made();
    const circle: Record<string, unknown> = {};
    circle.circle = circle;
    for (const payload of [1n, circle, () => {}, Symbol("s")]) {
      expect(() => pubsub.publish("tick", "1", payload)).toThrow(
        expect.objectContaining({ code: "not_json" }),
      );
    }
    for (const [name, detail, code] of [
      ["__tick:1", { type: "__tick", id: "1" }, "reserved"],
      ["tick:2", { type: "tick", id: "1" }, "bad_topic"],
      [":1", { type: "", id: "1" }, "bad_topic"],
      ["tick:1", { type: "tick" }, "bad_topic"],
      ["tick:1", null, "bad_topic"],
      ["tick:\ud800", { type: "tick", id: "\ud800" }, "bad_topic"],
      ["tick:1", { type: "tick", id: "1", __hop: 1 }, "bad_topic"],
    ] as const) {
      const event = Object.assign(new Event(name), { detail });
      expect(() => target.dispatchEvent(event as never), name).toThrow(expect.objectContaining({ code }));
    }
    expect(socket.sent).toEqual([]);
  });

  test("what the hub would refuse is not sent: false, and a notice that says why", () => {
    const { socket, pubsub, notices, target } = made({ maxMessage: 1000, maxDepth: 8 });
    const nested = (depth: number): unknown => (depth ? [nested(depth - 1)] : []);
    expect(pubsub.publish("tick", "1", "x".repeat(900))).toBe(true);
    expect(pubsub.publish("tick", "1", nested(6))).toBe(true);
    expect(pubsub.publish("tick", "1", "[".repeat(100))).toBe(true);
    expect(socket.takes()).toHaveLength(3);
    expect(pubsub.publish("tick", "1", "x".repeat(1000))).toBe(false);
    expect(pubsub.publish("tick", "1", "é".repeat(500))).toBe(false);
    expect(pubsub.publish("tick", "1", nested(7))).toBe(false);
    socket.bufferedAmount = 5 << 20;
    expect(pubsub.publish("tick", "1", 1)).toBe(false);
    socket.bufferedAmount = 0;
    expect(pubsub.publish("tick", "1", 1)).toBe(true);
    expect(
      notices.map(([name, detail]) => [name, (detail as { error: { code: string } }).error.code]),
    ).toEqual([
      ["error", "too_large"],
      ["error", "too_large"],
      ["error", "too_deep"],
      ["error", "full"],
    ]);
    expect(target.stats()).toMatchObject({ sent: 4, rejected: 4 });
  });

  test("a listener may do anything to its own target", () => {
    const { socket, target, pubsub } = made();
    const order: string[] = [];
    target.addEventListener("tick:1", function hear() {
      order.push("one");
      pubsub.publish("tock", "", 1);
      target.removeEventListener("tick:1", hear);
      target.addEventListener("tick:1", () => order.push("late"));
      socket.says({ type: "tock", id: "", payload: 2 });
      order.push("end of one");
    });
    target.addEventListener("tock:", () => order.push("nested"));
    socket.takes();
    socket.says(tick(1));
    expect(order).toEqual(["one", "nested", "end of one"]);
    // It was the last of its topic when it left.
    expect(socket.takes()).toEqual([{ type: "tock", id: "", payload: 1 }, leaves("tick:1"), asks("tick:1")]);
    target.addEventListener("tick:1", () => target.close());
    target.addEventListener("tick:1", () => order.push("after close"));
    socket.says(tick(2));
    socket.says(tick(3));
    expect(order.slice(3)).toEqual(["late"]);
  });
});

describe("bad input", () => {
  const bad = [
    "",
    "{",
    "null",
    "[]",
    "\ufeff{}",
    '{"type":"tick","id":"1"}x',
    '{"type":"tick"}',
    '{"type":1,"id":"1"}',
    '{"type":"","id":"1"}',
    '{"type":"tick","id":"1","id":"1"}',
    '{"type":"tick","id":"\\ud800"}',
    '{"type":"tick","id":"1","__hop":1}',
    '{"type":"__subscribed","id":"","payload":7}',
    '{"type":"__denied","id":"","payload":{"topic":"tick:1"}}',
    `{"type":"tick","id":"1","payload":${"[".repeat(64)}${"]".repeat(64)}}`,
    new Uint8Array([0xff, 0xfe]).buffer,
    new ArrayBuffer(0),
  ];

  test("is heard by nobody, is told and counted, and the connection goes on", () => {
    const { socket, target, notices } = made();
    const heard = vi.fn();
    target.addEventListener("tick:1", heard);
    for (const [at, message] of bad.entries()) {
      socket.says(message);
      expect(target.stats().bad_input, String(message)).toBe(at + 1);
    }
    expect(heard).not.toHaveBeenCalled();
    expect(new Set(notices.map(([name]) => name))).toEqual(new Set(["error"]));
    for (const [, detail] of notices) expect(detail).toMatchObject({ error: { code: "bad_input" } });
    socket.says(tick(1));
    expect(heard).toHaveBeenCalledOnce();
    // A control type of a later version is no bad input.
    socket.tells("hello", { any: "thing" });
    expect(target.stats().bad_input).toBe(bad.length);
  });

  test("a hundred in ten seconds end the connection with 1007, in a browser 4007", () => {
    const { socket, notices, target } = made();
    for (let n = 0; n < 99; n++) socket.says("{");
    expect(socket.closed).toBeUndefined();
    socket.says("{");
    expect(socket.closed?.code).toBe(4007);
    expect(notices.at(-1)).toEqual(["close", { code: 1007, reason: expect.stringContaining("not_json") }]);
    socket.says(tick(1));
    expect(target.stats().received).toBe(0);
  });

  test("a message over the limit ends it with 1009, and is not copied", () => {
    const { socket, notices } = made({ maxMessage: 100 });
    socket.says(tick("x".repeat(101)));
    expect(socket.closed?.code).toBe(4009);
    expect(notices.map(([name]) => name)).toEqual(["error", "close"]);
  });
});

describe("the socket", () => {
  test("while it connects subscriptions wait, and publishing is an error", async () => {
    const socket = new MemorySocket(0);
    const { target, pubsub } = made({}, socket);
    const ticks = pubsub.subscribe("tick", "1");
    const ready = ticks.ready;
    expect(() => pubsub.publish("tick", "1", 1)).toThrow(expect.objectContaining({ code: "not_open" }));
    expect(socket.sent).toEqual([]);
    socket.opens();
    expect(socket.takes()).toEqual([asks("tick:1")]);
    expect(pubsub.publish("tick", "1", 1)).toBe(true);
    socket.tells("subscribed", { topic: "tick:1" });
    expect(await ready).toEqual({ status: "confirmed" });
    expect(target.stats().links).toBe(1);
  });

  test("keeps its own handlers, and gets its binaryType back", () => {
    const socket = new MemorySocket();
    const own = vi.fn();
    socket.addEventListener("message", own);
    const { target } = made({}, socket);
    expect(socket.binaryType).toBe("arraybuffer");
    socket.says(tick(1));
    target.close();
    socket.says(tick(2));
    expect(own).toHaveBeenCalledTimes(2);
    expect(socket.binaryType).toBe("blob");
    expect(socket.closed).toBeUndefined();
  });

  test("its end is told once, with code and reason; streams end, publishing gives false", async () => {
    const { socket, target, pubsub, notices } = made();
    const ticks = pubsub.subscribe("tick", "1");
    const [read, ready] = [ticks.next(), ticks.ready];
    socket.takes();
    socket.ends(1001, "the hub shuts down");
    socket.ends(1006);
    expect(await read).toEqual({ done: true, value: undefined });
    expect(await ready).toEqual({ status: "closed" });
    expect(ticks.end).toEqual({ reason: "closed", detail: "the hub shuts down" });
    expect(notices).toEqual([["close", { code: 1001, reason: "the hub shuts down" }]]);
    expect(pubsub.publish("tick", "1", 1)).toBe(false);
    expect(await target.ready?.("tick:1")).toEqual({ status: "closed" });
    expect(socket.sent).toEqual([]);
    // Who comes too late is told, too.
    const late = pubsub.subscribe("tick", "1");
    expect(await late.next()).toEqual({ done: true, value: undefined });
    target.close();
    expect(notices).toHaveLength(1);
  });

  test("closed here, nothing is sent any more, and using it is an error", async () => {
    const { socket, target, pubsub, notices } = made();
    const ticks = pubsub.subscribe("tick", "1");
    const read = ticks.next();
    socket.takes();
    target.addEventListener("close", () => {
      target.close();
      expect(() => pubsub.publish("tick", "1", 1)).toThrow(expect.objectContaining({ code: "closed" }));
    });
    target.close();
    target.close();
    expect(await read).toEqual({ done: true, value: undefined });
    expect(notices).toEqual([["close", { reason: "closed by the program" }]]);
    expect(socket.sent).toEqual([]);
    expect(() => target.addEventListener("tick:1", () => {})).toThrow(
      expect.objectContaining({ code: "closed" }),
    );
    socket.says(tick(1));
    expect(target.stats()).toMatchObject({ received: 0, links: 0, listeners: 0 });
  });

  test("one that is closed already makes a target that has ended, which everybody is told of once", async () => {
    const { pubsub, target, notices } = made({}, new MemorySocket(3));
    expect(pubsub.publish("tick", "1", 1)).toBe(false);
    expect(await pubsub.subscribe("tick", "1").next()).toEqual({ done: true, value: undefined });
    expect(target.stats().links).toBe(0);
    expect(notices).toEqual([["close", { reason: "the socket was closed already" }]]);
  });

  test("one whose send throws is lost", () => {
    const { socket, pubsub, notices } = made();
    socket.send = () => {
      throw new Error("broken");
    };
    pubsub.publish("tick", "1", 1);
    expect(notices).toEqual([["close", { reason: expect.stringContaining("broken") }]]);
    expect(pubsub.publish("tick", "1", 1)).toBe(false);
  });
});

test("more subscriptions than may wait for the socket to open end it with 1013", () => {
  const { socket, target, notices } = made({}, new MemorySocket(0));
  for (let n = 0; n < 1100; n++) target.addEventListener(`${n}:${"x".repeat(4000)}`, () => {});
  const reason = "more control events wait than may";
  expect(notices).toEqual([["close", { code: 1013, reason }]]);
  expect(socket.closed).toEqual({ code: 4013, reason });
});

test.each(["maxMessage", "maxDepth", "maxBufferedAmount"])("%s without end is none", (bound) => {
  const socket = new MemorySocket();
  const target = createWebSocketClientEventTarget<Events>(socket, { [bound]: Infinity });
  const heard: unknown[] = [];
  target.addEventListener("tick:1", ({ detail }) => heard.push(detail));
  const detail = { type: "tick", id: "1", payload: {} } as const;
  expect(target.dispatchEvent(new CustomEvent("tick:1", { detail }))).toBe(true);
  socket.says(detail);
  expect(heard).toHaveLength(1);
  target.close();
  for (const none of [-1, Number.NaN]) {
    expect(() => createWebSocketClientEventTarget(new MemorySocket(), { [bound]: none })).toThrow(RangeError);
  }
});

test("a peer that was closed for what it sent may go on with it, and no error goes unheard", async () => {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  server.on("connection", (_, request) => {
    // A message over the limit, then a frame with reserved bits, of which `ws` tells by an error.
    const long = Buffer.concat([Buffer.from([0x81, 126, 0, 200]), Buffer.alloc(200, 97)]);
    request.socket.write(Buffer.concat([long, Buffer.from([0xf1, 1, 120])]));
  });
  const socket = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const target = createWebSocketClientEventTarget(socket, { maxMessage: 100 });
  const failed = new Promise((resolve) => socket.on("error", resolve));
  const end = await new Promise((resolve) =>
    target.addEventListener("close", ({ detail }) => resolve(detail)),
  );
  expect(end).toMatchObject({ code: 1009 });
  await failed;
  socket.removeAllListeners("message");
  expect(socket.listenerCount("error")).toBe(2);
  socket.terminate();
  server.close();
});
