import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { expect, onTestFinished, test, vi } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { type Fixture, laws, unmet } from "../src/conformance/index.js";
import { createPubSub } from "../src/create-pubsub.js";
import type { PubSubEventTarget, TypedEvent } from "../src/types.js";
import { createWebSocketClientEventTarget } from "../src/websocket-client.js";
import {
  createWebSocketServerEventTarget,
  type ServerWebSocketLike,
  type Spoke,
  type SpokeEvent,
  type WebSocketServerOptions,
} from "../src/websocket-server.js";
import { run } from "./hub.js";

// ---------------------------------------------------------------------------------------------- peers

/** What came, in order; whoever asks for what has not come yet waits. */
function mailbox<T>() {
  const items: T[] = [];
  const waiting: ((item: T) => void)[] = [];
  return {
    put(item: T) {
      const one = waiting.shift();
      if (one) one(item);
      else items.push(item);
    },
    next: () =>
      new Promise<T>((resolve) => (items.length ? resolve(items.shift() as T) : waiting.push(resolve))),
    size: () => items.length,
  };
}

const event = (type: string, id: string, payload?: unknown) =>
  new CustomEvent(`${type}:${id}`, { detail: { type, id, payload } }) as unknown as TypedEvent<string, never>;
const text = (type: string, id: string, payload?: unknown) => JSON.stringify({ type, id, payload });
const subscribe = (topic: string) => text("__subscribe", "", { topic });
const subscribed = (topic: string) => text("__subscribed", "", { topic });
const denied = (topic: string, action: string, reason: string) =>
  text("__denied", "", { topic, action, reason });
/** The answer comes after all that was said before. */
const ping = text("__ping", "", { n: 1 });

type Options = WebSocketServerOptions<Record<string, unknown>, WebSocket>;

/** A target behind a real server. */
async function serve(options: Options = {}, server: ConstructorParameters<typeof WebSocketServer>[0] = {}) {
  const sockets = new WebSocketServer({ port: 0, host: "127.0.0.1", maxPayload: 1 << 20, ...server });
  const errors: unknown[] = [];
  const target = createWebSocketServerEventTarget<Record<string, unknown>, WebSocket>({
    onError: (error) => errors.push(error),
    ...options,
  });
  sockets.on("connection", (socket, request) => {
    const identity = request.headers.authorization;
    target.addConnection(socket, identity === undefined ? {} : { identity });
  });
  await once(sockets, "listening");
  onTestFinished(() => {
    target.close();
    for (const socket of sockets.clients) socket.terminate();
    sockets.close();
  });
  return { target, sockets, errors, url: `ws://127.0.0.1:${(sockets.address() as { port: number }).port}/` };
}

async function opened(url: string, identity?: string): Promise<WebSocket> {
  const socket = new WebSocket(url, identity === undefined ? {} : { headers: { authorization: identity } });
  onTestFinished(() => socket.terminate());
  await once(socket, "open");
  return socket;
}

/** A spoke that says and hears plain text. */
async function raw(url: string, identity?: string) {
  const socket = new WebSocket(url, identity === undefined ? {} : { headers: { authorization: identity } });
  const heard = mailbox<string>();
  const closed = new Promise<[number, string]>((resolve) =>
    socket.on("close", (code, reason) => resolve([code, String(reason)])),
  );
  socket.on("message", (data) => heard.put(String(data)));
  onTestFinished(() => socket.terminate());
  await once(socket, "open");
  const say = async (...messages: (string | Uint8Array)[]) => {
    for (const message of messages) socket.send(message);
    socket.send(ping);
    const answers: string[] = [];
    for (;;) {
      const answer = await heard.next();
      if (answer.includes('"__pong"')) return answers;
      answers.push(answer);
    }
  };
  return { socket, next: heard.next, waiting: heard.size, closed, say };
}

/** A socket in memory, open, whose far end is the test. */
function fake(readyState = 1) {
  const listeners = new Map<string, Set<(event: never) => void>>();
  const sent: string[] = [];
  const socket = {
    readyState,
    bufferedAmount: 0,
    binaryType: "blob" as string,
    sent,
    closes: [] as [code: number | undefined, reason: string | undefined][],
    onSend: undefined as ((text: string) => void) | undefined,
    send(data: string) {
      sent.push(data);
      socket.onSend?.(data);
    },
    close(code?: number, reason?: string) {
      socket.closes.push([code, reason]);
    },
    addEventListener(type: string, listener: (event: never) => void) {
      if (!listeners.has(type)) listeners.set(type, new Set());
      listeners.get(type)?.add(listener);
    },
    removeEventListener(type: string, listener: (event: never) => void) {
      listeners.get(type)?.delete(listener);
    },
    emit(type: string, event: object = {}) {
      for (const listener of [...(listeners.get(type) ?? [])]) listener(event as never);
    },
    say: (...messages: string[]) => messages.forEach((data) => void socket.emit("message", { data })),
    handlers: () => [...listeners].filter(([, all]) => all.size).map(([name]) => name),
  };
  return socket;
}

// ---------------------------------------------------------------------------------------------- events

test("a hub and its spokes hear each other, and nothing is relayed", async () => {
  const { target, url } = await serve();
  const [one, two] = [await opened(url), await opened(url)].map((socket) =>
    createPubSub<Record<string, unknown>>({ eventTarget: createWebSocketClientEventTarget(socket) }),
  ) as [ReturnType<typeof createPubSub>, ReturnType<typeof createPubSub>];
  const hub = createPubSub<Record<string, unknown>>({ eventTarget: target });
  const heard = [hub.subscribe("a", "b:ü"), one.subscribe("a", "b:ü"), two.subscribe("a", "b:ü")] as const;
  for (const events of heard) expect(await events.ready).toEqual({ status: "confirmed" });
  one.publish("a", "b:ü", { n: [1, "ü𝄞"] });
  expect((await heard[0].next()).value).toEqual({ type: "a", id: "b:ü", payload: { n: [1, "ü𝄞"] } });
  hub.publish("a", "b:ü", undefined);
  for (const events of heard.slice(1)) {
    expect((await events.next()).value).toEqual({ type: "a", id: "b:ü", payload: undefined });
  }
  expect(heard.map((events) => events.stats().queued)).toEqual([0, 0, 0]);
  expect(target.stats()).toMatchObject({ received: 1, sent: 2, links: 2, subscribed_topics: 1 });
});

test("a listener is told who sent it; a spoke's own listeners come first; a spoke is sent to alone", async () => {
  const order: unknown[] = [];
  const connected = mailbox<[Spoke<Record<string, unknown>>, WebSocket]>();
  const { target, url } = await serve({
    onConnection(spoke, socket) {
      spoke.addEventListener("a:", ({ detail }) => order.push(["own", spoke.identity, detail.payload]));
      connected.put([spoke, socket]);
    },
  });
  target.addEventListener("a:", ({ detail, spoke }) => order.push(["hub", spoke?.identity, detail.payload]));
  const [ann, bob] = [await raw(url, "ann"), await raw(url, "bob")];
  const [[spoke, socket], [other]] = [await connected.next(), await connected.next()];
  expect([spoke.identity, other.identity, socket.readyState]).toEqual(["ann", "bob", 1]);
  expect([...target.spokes]).toEqual([spoke, other]);
  await bob.say(text("a", "", 1));
  await ann.say(new TextEncoder().encode(text("a", "", "ü")));
  expect(order).toEqual([
    ["own", "bob", 1],
    ["hub", "bob", 1],
    ["own", "ann", "ü"],
    ["hub", "ann", "ü"],
  ]);
  expect(spoke.dispatchEvent(event("never.asked.for", "x", 7))).toBe(true);
  expect(await ann.next()).toBe(text("never.asked.for", "x", 7));
  expect(await bob.say()).toEqual([]);
  expect(spoke.stats()).toMatchObject({ received: 1, sent: 1, listeners: 1 });
  expect(await spoke.ready?.("a:")).toEqual({ status: "confirmed" });
});

test("the program's spokes: alkpubsub sub hears, alkpubsub pub is heard", async () => {
  const { target, url } = await serve();
  const heard = mailbox<unknown>();
  target.addEventListener("message.sent:ü", ({ detail }) => heard.put(detail.payload));
  const sub = run("sub", url, "message.sent", "ü", "--count", "2");
  onTestFinished(sub.stop);
  await vi.waitFor(() => expect(target.stats().subscribed_topics).toBe(1));
  target.dispatchEvent(event("message.sent", "ü", { n: 1 }));
  target.dispatchEvent(event("message.sent", "other", { n: 2 }));
  target.dispatchEvent(event("message.sent", "ü", { n: 9007199254740993n.toString() }));
  expect((await sub.lines.next()).value).toBe(text("message.sent", "ü", { n: 1 }));
  expect((await sub.lines.next()).value).toBe(text("message.sent", "ü", { n: "9007199254740993" }));
  expect(await sub.exit).toBe(0);
  const pub = run("pub", url, "message.sent", "ü", '{"from":"the program"}');
  expect(await pub.exit).toBe(0);
  expect(await heard.next()).toEqual({ from: "the program" });
});

test("an event goes to 200 sockets, each once and in order", async () => {
  const { target, url } = await serve();
  const spokes = await Promise.all(Array.from({ length: 200 }, () => raw(url)));
  const answers = await Promise.all(spokes.map((spoke) => spoke.say(subscribe("a:b"))));
  expect(answers).toEqual(spokes.map(() => [subscribed("a:b")]));
  for (let n = 0; n < 10; n++) target.dispatchEvent(event("a", "b", n));
  const all = await Promise.all(spokes.map((spoke) => spoke.say()));
  expect(all).toEqual(spokes.map(() => Array.from({ length: 10 }, (_, n) => text("a", "b", n))));
  expect(target.stats()).toMatchObject({ sent: 2000, connections: 200, links: 200 });
});

test("1,000 topics on a link, and none beyond its bound", async () => {
  const { target, url } = await serve({ maxTopicsPerLink: 1000 });
  const spoke = await raw(url);
  const topics = Array.from({ length: 1001 }, (_, n) => `topic:${n}`);
  const answers = await spoke.say(...topics.map(subscribe));
  const last = denied("topic:1000", "subscribe", "too_many_subscriptions");
  expect(answers).toEqual([...topics.slice(0, 1000).map(subscribed), last]);
  for (let n = 0; n <= 1000; n++) target.dispatchEvent(event("topic", String(n)));
  expect(await spoke.say()).toEqual(topics.slice(0, 1000).map((_, n) => text("topic", String(n))));
});

test("fanOut all: everybody hears everything, subscribed or not", async () => {
  const { target, url } = await serve({ fanOut: "all" });
  const spokes = [await raw(url), await raw(url)];
  await Promise.all(spokes.map((spoke) => spoke.say()));
  target.dispatchEvent(event("a", "b", 1));
  for (const spoke of spokes) expect(await spoke.next()).toBe(text("a", "b", 1));
});

test("spokes are told what is missing", async () => {
  const { target, url } = await serve();
  const socket = await opened(url);
  const client = createWebSocketClientEventTarget(socket);
  const gaps = mailbox<unknown>();
  client.addEventListener("gap", ({ detail }) => gaps.put(detail));
  client.addEventListener("a:b", () => {});
  await client.ready?.("a:b");
  target.gap({ topic: "a:b", missed: 3, reason: "broker" });
  target.gap({ reason: "slow" });
  expect(await gaps.next()).toEqual({ topic: "a:b", missed: 3, reason: "broker" });
  expect(await gaps.next()).toEqual({ missed: null, reason: "slow" });
});

// ---------------------------------------------------------------------------------------------- rights

test("authorise has the say in who hears and who speaks, by topics split at their first colon", async () => {
  const asked: unknown[] = [];
  const { target, url } = await serve({
    authorise(spoke, action, type, id) {
      asked.push([spoke.identity, action, type, id]);
      return id === "no" ? false : id === "later" ? "draining" : true;
    },
  });
  const heard: unknown[] = [];
  target.addEventListener("a:b:c", ({ detail }) => heard.push(detail));
  target.addEventListener("a:no", ({ detail }) => heard.push(detail));
  const ann = await raw(url, "ann");
  const answers = await ann.say(
    ...["a:b:c", "a:no", "a:later"].map(subscribe),
    ...[text("a:b", "c", 1), text("a", "no", 2), text("nobody.listens", "no")],
  );
  expect(answers).toEqual([
    subscribed("a:b:c"),
    denied("a:no", "subscribe", "not_allowed"),
    denied("a:later", "subscribe", "draining"),
    denied("a:no", "publish", "not_allowed"),
    denied("nobody.listens:no", "publish", "not_allowed"),
  ]);
  expect(heard).toEqual([{ type: "a:b", id: "c", payload: 1 }]);
  expect(asked).toEqual([
    ["ann", "subscribe", "a", "b:c"],
    ["ann", "subscribe", "a", "no"],
    ["ann", "subscribe", "a", "later"],
    ["ann", "publish", "a", "b:c"],
    ["ann", "publish", "a", "no"],
    ["ann", "publish", "nobody.listens", "no"],
  ]);
  expect(target.stats()).toMatchObject({ denied: 4 });
});

test("what authorise throws, and a promise, is no, and reported", async () => {
  const wrong = {
    throws: () => {
      throw new Error("the rights are not there");
    },
    promise: () => Promise.reject(new Error("too late")),
  };
  const { url, errors } = await serve({
    authorise: (_, __, type) => (wrong[type as keyof typeof wrong] as () => boolean)(),
  });
  const spoke = await raw(url);
  expect(await spoke.say(subscribe("throws:"), text("promise", ""))).toEqual([
    denied("throws:", "subscribe", "not_allowed"),
    denied("promise:", "publish", "not_allowed"),
  ]);
  expect(errors.map(String)).toEqual([
    "Error: the rights are not there",
    "TypeError: authorise gave a promise, which counts as no: it has to be synchronous",
  ]);
});

test("direct:<identity> is its owner's; a topic that is taken back is heard no more", async () => {
  const { target, url } = await serve({ identities: true });
  const nobody = await raw(url);
  const no = denied("direct:ann", "subscribe", "not_allowed");
  expect(await nobody.say(subscribe("direct:ann"))).toEqual([no]);
  const ann = await raw(url, "ann");
  expect(await ann.say(subscribe("direct:ann"), subscribe("direct:bob"))).toEqual([
    subscribed("direct:ann"),
    denied("direct:bob", "subscribe", "not_allowed"),
  ]);
  target.dispatchEvent(event("direct", "ann", 1));
  expect(await ann.next()).toBe(text("direct", "ann", 1));
  const [spoke] = [...target.spokes].filter(({ identity }) => identity === "ann");
  spoke?.deny("direct:ann");
  target.dispatchEvent(event("direct", "ann", 2));
  expect(await ann.say()).toEqual([no]);
});

// ---------------------------------------------------------------------------------------------- hostile peers

const nested = (depth: number) => `{"type":"a","id":"b","payload":${"[".repeat(depth)}${"]".repeat(depth)}}`;
const bytes = (...parts: (string | number)[]) =>
  Uint8Array.from(
    parts.flatMap((part) => (typeof part === "number" ? [part] : [...new TextEncoder().encode(part)])),
  );

test.each<[reason: string, message: string | Uint8Array]>([
  ["too_deep", nested(64)],
  ["not_utf8", bytes('{"type":"a","id":"', 0xff, '"}')],
  ["byte_order_mark", '\u{feff}{"type":"a","id":"b"}'],
  ["not_json", '{"type":"a","id":"b",}'],
  ["not_json", ""],
  ["not_json", '{"type":"a","id":"b","payload":NaN}'],
  ["trailing_bytes", '{"type":"a","id":"b"}{}'],
  ["not_an_object", '["a","b"]'],
  ["missing_member", '{"type":"a"}'],
  ["not_a_string", '{"type":"a","id":1}'],
  ["repeated_member", '{"type":"a","\\u0074ype":"a","id":"b"}'],
  ["lone_surrogate", '{"type":"a","id":"\\ud800"}'],
  ["empty_type", '{"type":"","id":"b"}'],
  ["reserved_member", '{"type":"a","id":"b","__proto__":1}'],
  ["bad_control", '{"type":"__subscribe","id":"","payload":{"topic":1}}'],
])("%s is dropped, counted and told: %s", async (reason, message) => {
  const { target, url } = await serve();
  const told: unknown[] = [];
  target.addEventListener("a:b", () => told.push("an event"));
  const connected = mailbox<Spoke>();
  target.addEventListener("error", ({ detail, spoke }) => {
    told.push((detail.error as { code: string; message: string }).message);
    connected.put(spoke as unknown as Spoke);
  });
  const spoke = await raw(url);
  const own: unknown[] = [];
  for (const one of target.spokes) one.addEventListener("error", ({ detail }) => own.push(detail.error));
  expect(await spoke.say(message, subscribe("a:b"))).toEqual([subscribed("a:b")]);
  expect(told).toEqual([expect.stringContaining(`: ${reason}`)]);
  expect(own).toEqual([expect.objectContaining({ code: "bad_input", name: "PubSubError" })]);
  expect([...target.spokes]).toEqual([await connected.next()]);
  expect(target.stats()).toMatchObject({ bad_input: 1, [reason]: 1, received: 0 });
});

test.each([
  ["a hub's own words", text("__subscribed", "", { topic: "a:b" })],
  ["a control event of later days", text("__later", "", {})],
  ["unknown members, deep enough", `{"x":${"[".repeat(63)}${"]".repeat(63)},"type":"z","id":""}`],
])("%s: nothing happens", async (_, message) => {
  const { target, url } = await serve();
  const spoke = await raw(url);
  expect(await spoke.say(message)).toEqual([]);
  expect(target.stats()).toMatchObject({ bad_input: 0, links: 1 });
});

test("the hundredth bad message closes the connection with 1007, one that is too long with 1009", async () => {
  const gone = mailbox<unknown>();
  const { target, url } = await serve({
    maxMessage: 100,
    onDisconnection: (_, reason) => gone.put(reason.code),
  });
  const [bad, long, good] = [await raw(url), await raw(url), await raw(url)];
  await bad.say(...Array.from({ length: 99 }, () => "{}"));
  bad.socket.send("[");
  expect((await bad.closed)[0]).toBe(1007);
  expect(await gone.next()).toBe(1007);
  await long.say(`{"type":"a","id":"${"x".repeat(100 - 20)}"}`);
  long.socket.send(`{"type":"a","id":"${"x".repeat(100 - 19)}"}`);
  expect((await long.closed)[0]).toBe(1009);
  expect(await gone.next()).toBe(1009);
  expect(await good.say(subscribe("a:b"))).toEqual([subscribed("a:b")]);
  expect(target.stats()).toMatchObject({
    bad_input: 101,
    missing_member: 99,
    not_json: 1,
    too_large: 1,
    links: 1,
  });
});

test("topics that are too long, reserved or none are denied, and the link goes on", async () => {
  const { url } = await serve();
  const spoke = await raw(url);
  const long = `a:${"x".repeat(254)}`;
  const topics = { [long]: "topic_too_long", "__x:": "reserved", nothing: "bad_topic", ":x": "bad_topic" };
  const answers = await spoke.say(...Object.keys(topics).map(subscribe), text("a", "x".repeat(254)));
  expect(answers).toEqual([
    ...Object.entries(topics).map(([topic, reason]) => denied(topic, "subscribe", reason)),
    denied(long, "publish", "topic_too_long"),
  ]);
});

test("frames that break the rules end that connection and nothing else", async () => {
  const gone = mailbox<unknown>();
  const { target, url } = await serve({ onDisconnection: (_, reason) => gone.put(reason.code) });
  const told = mailbox<unknown>();
  target.addEventListener("error", ({ detail, spoke }) => told.put([String(detail.error), spoke?.identity]));
  const socket = connectTcp(Number(new URL(url).port), "127.0.0.1");
  onTestFinished(() => void socket.destroy());
  socket.write(
    `GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${btoa("0123456789abcdef")}\r\nAuthorization: eve\r\n\r\n`,
  );
  await once(socket, "data");
  // A text frame that is not masked.
  socket.write(Uint8Array.from([0x81, 0x01, 0x61]));
  expect(await told.next()).toEqual(["RangeError: Invalid WebSocket frame: MASK must be set", "eve"]);
  expect(await gone.next()).toBe(1006);
  // Closed for what it sent, it goes on with it: nobody's uncaught error.
  const spoke = await raw(url);
  spoke.socket.on("error", () => {});
  const inner = (spoke.socket as unknown as { _socket: Socket })._socket;
  for (let n = 0; n < 100; n++) spoke.socket.send("{}");
  inner.write(Uint8Array.from([0x81, 0x01, 0x61]));
  expect(await gone.next()).toBe(1007);
  await spoke.closed;
  expect(target.stats().links).toBe(0);
});

test("who reads too slowly is closed with 1013, after the program was told; all others hear everything", async () => {
  const slow: unknown[] = [];
  const gone = mailbox<unknown>();
  const { target, url } = await serve({
    onBackpressure: (spoke, bufferedAmount) => slow.push(spoke.identity, bufferedAmount > 1 << 20),
    onDisconnection: (spoke, reason) => gone.put([spoke.identity, reason.code]),
  });
  const [ann, bob] = [await raw(url, "ann"), await raw(url, "bob")];
  for (const spoke of [ann, bob]) await spoke.say(subscribe("a:b"));
  (bob.socket as unknown as { _socket: Socket })._socket.pause();
  const payload = "x".repeat(60_000);
  const ended = gone.next();
  let sent = 0;
  for (let isEnded = false; !isEnded; ) {
    target.dispatchEvent(event("a", "b", payload));
    sent++;
    expect(await ann.next()).toBe(text("a", "b", payload));
    isEnded = slow.length > 0;
  }
  expect(await ended).toEqual(["bob", 1013]);
  expect(slow).toEqual(["bob", true]);
  target.dispatchEvent(event("a", "b", "last"));
  expect(await ann.next()).toBe(text("a", "b", "last"));
  (bob.socket as unknown as { _socket: Socket })._socket.resume();
  expect((await bob.closed)[0]).toBe(1013);
  // What was taken for it arrives before the end.
  expect(bob.waiting()).toBe(sent);
  expect(target.stats()).toMatchObject({ too_slow: 1, links: 1 });
}, 20_000);

// ---------------------------------------------------------------------------------------------- the program's own doings

test("an envelope beyond the limits is not sent and told; no event and no JSON is thrown", () => {
  const target = createWebSocketServerEventTarget({ maxMessage: 100, maxDepth: 3 });
  const socket = fake();
  const spoke = target.addConnection(socket) as Spoke;
  const told: unknown[] = [];
  for (const one of [target as PubSubEventTarget, spoke]) {
    one.addEventListener("error", ({ detail }) => told.push((detail.error as { code: string }).code));
    expect(one.dispatchEvent(event("a", "b", "x".repeat(100)))).toBe(false);
    expect(one.dispatchEvent(event("a", "b", [[[]]]))).toBe(false);
    expect(one.dispatchEvent(event("a", "b", "[[[[[[[[["))).toBe(true);
    expect(() => one.dispatchEvent(event("__a", "b"))).toThrow(expect.objectContaining({ code: "reserved" }));
    expect(() => one.dispatchEvent(event("", "b"))).toThrow(expect.objectContaining({ code: "bad_topic" }));
    expect(() => one.dispatchEvent(event("a", "b", 1n))).toThrow(
      expect.objectContaining({ code: "not_json" }),
    );
    expect(() => one.dispatchEvent(event("a", "\ud800"))).toThrow(
      expect.objectContaining({ code: "bad_topic" }),
    );
  }
  expect(told).toEqual(["too_large", "too_deep", "too_large", "too_deep"]);
  expect(socket.sent).toEqual([text("a", "b", "[[[[[[[[[")]);
});

test("bounds that are none are refused", () => {
  for (const wrong of [-1, Number.NaN, "many" as never]) {
    expect(() => createWebSocketServerEventTarget({ maxLinks: wrong })).toThrow(RangeError);
  }
  const target = createWebSocketServerEventTarget({ maxLinks: Number.POSITIVE_INFINITY });
  expect(target.addConnection(fake())).toBeDefined();
});

test("a listener may publish, and remove the sender and others, on its own target", () => {
  const gone: unknown[] = [];
  const target = createWebSocketServerEventTarget({
    onDisconnection: ({ identity }, { reason }) => gone.push([identity, reason]),
  });
  const [one, two] = [fake(), fake()];
  const ann = target.addConnection(one, { identity: "ann" }) as Spoke;
  const bob = target.addConnection(two, { identity: "bob" }) as Spoke;
  two.say(subscribe("a:b"), subscribe("c:d"));
  const heard: string[] = [];
  const nested = (event_: SpokeEvent) => {
    heard.push(`first ${event_.detail.type}`);
    target.dispatchEvent(event("c", "d", 1));
    target.removeConnection(ann);
    target.dispatchEvent(event("c", "d", 2));
    bob.close();
    target.dispatchEvent(event("c", "d", 3));
  };
  target.addEventListener("x:y", nested);
  target.addEventListener("x:y", ({ spoke }) => heard.push(`second ${spoke?.identity}`));
  one.say(text("x", "y"));
  one.say(text("x", "y"));
  expect(heard).toEqual(["first x", "second ann"]);
  expect(two.sent).toEqual([subscribed("a:b"), subscribed("c:d"), text("c", "d", 1), text("c", "d", 2)]);
  expect(gone).toEqual([
    ["ann", "closed by the program"],
    ["bob", "closed by the program"],
  ]);
  expect(() => ann.dispatchEvent(event("a", "b"))).toThrow(expect.objectContaining({ code: "closed" }));
  expect([one.handlers(), two.handlers(), target.spokes.size]).toEqual([[], [], 0]);
});

test("a socket that calls back from within send: each hears all in order, and slots are not mixed up", () => {
  const target = createWebSocketServerEventTarget();
  const sockets = [fake(), fake(), fake()] as const;
  const spokes = sockets.map((socket) => target.addConnection(socket) as Spoke);
  for (const socket of sockets) socket.say(subscribe("a:b"));
  const late = fake();
  sockets[0].onSend = (sent) => {
    if (!sent.includes('"outer"')) return;
    target.dispatchEvent(event("a", "b", "inner"));
    // The last one's slot is another's when the outer event's turn comes.
    target.removeConnection(spokes[2] as Spoke);
    target.addConnection(late);
  };
  target.dispatchEvent(event("a", "b", "outer"));
  const payloads = (socket: { sent: string[] }) =>
    socket.sent.slice(1).map((sent) => JSON.parse(sent).payload);
  expect(sockets.map(payloads)).toEqual([
    ["outer", "inner"],
    ["outer", "inner"],
    ["outer", "inner"],
  ]);
  expect(late.sent).toEqual([]);
  late.say(subscribe("a:b"));
  target.dispatchEvent(event("a", "b", "next"));
  expect(late.sent).toEqual([subscribed("a:b"), text("a", "b", "next")]);
});

test("a send that throws ends that connection alone", () => {
  const gone: unknown[] = [];
  const target = createWebSocketServerEventTarget({ onDisconnection: (_, { reason }) => gone.push(reason) });
  const [one, two] = [fake(), fake()];
  for (const socket of [one, two]) {
    target.addConnection(socket);
    socket.say(subscribe("a:b"));
  }
  one.onSend = () => {
    throw new Error("no more");
  };
  expect(target.dispatchEvent(event("a", "b"))).toBe(true);
  expect(gone).toEqual(["it could not be sent: Error: no more"]);
  expect([two.sent.length, target.spokes.size]).toEqual([2, 1]);
});

test("removeConnection leaves the socket as it was given, and nothing is sent afterwards", async () => {
  const connected = mailbox<WebSocket>();
  const { target, url } = await serve({ onConnection: (_, socket) => connected.put(socket) });
  const spoke = await raw(url);
  const socket = await connected.next();
  await spoke.say(subscribe("a:b"));
  expect(socket.binaryType).toBe("arraybuffer");
  const names = ["open", "message", "close", "error"];
  const before = names.map((name) => socket.listenerCount(name));
  target.removeConnection(socket);
  target.removeConnection(socket);
  expect(names.map((name) => socket.listenerCount(name))).toEqual(before.map((count) => count - 1));
  expect([socket.binaryType, socket.readyState]).toEqual(["nodebuffer", 1]);
  target.dispatchEvent(event("a", "b"));
  socket.send("the program's own");
  expect(await spoke.next()).toBe("the program's own");
  // It may come back, as another connection.
  expect(target.addConnection(socket)).toBeDefined();
  expect(target.addConnection(socket)).toBe([...target.spokes][0]);
  expect(await spoke.say(subscribe("a:b"))).toEqual([subscribed("a:b")]);
  expect(target.stats()).toMatchObject({ connections: 2, links: 1 });
});

test("close lets go of all, tells everybody once, and sends nothing", () => {
  const told: unknown[] = [];
  const target = createWebSocketServerEventTarget({ onDisconnection: (_, { reason }) => told.push(reason) });
  const [one, two] = [fake(), fake()];
  const spoke = target.addConnection(one) as Spoke;
  target.addConnection(two);
  two.say(subscribe("a:b"));
  spoke.addEventListener("close", () => {
    told.push("spoke", two.handlers());
    expect(() => target.dispatchEvent(event("a", "b"))).toThrow(expect.objectContaining({ code: "closed" }));
  });
  target.addEventListener("close", ({ detail }) => told.push("hub", detail.reason));
  target.close();
  target.close();
  const reason = "closed by the program";
  expect(told).toEqual(["spoke", [], reason, reason, "hub", reason]);
  expect([one.handlers(), one.binaryType, one.closes, two.sent.length]).toEqual([[], "blob", [], 1]);
  expect(() => target.addConnection(fake())).toThrow(expect.objectContaining({ code: "closed" }));
  expect(() => target.addEventListener("a:b", () => {})).toThrow(expect.objectContaining({ code: "closed" }));
  expect(target.stats()).toMatchObject({ links: 0, connections: 2, listeners: 0 });
});

test("a payload whose toJSON closes the target is not sent", () => {
  const target = createWebSocketServerEventTarget();
  const socket = fake();
  const spoke = target.addConnection(socket) as Spoke;
  const sly = event("a", "b", { toJSON: () => target.close() });
  expect(() => spoke.dispatchEvent(sly)).toThrow(expect.objectContaining({ code: "closed" }));
  expect(() => target.dispatchEvent(sly)).toThrow(expect.objectContaining({ code: "closed" }));
  expect(socket.sent).toEqual([]);
  // The core is as it was.
  expect(createWebSocketServerEventTarget().addConnection(fake())).toBeDefined();
});

test("hooks and listeners that throw are reported, and stop nobody", async () => {
  const { target, url, errors } = await serve({
    onConnection: () => {
      throw new Error("onConnection");
    },
    onDisconnection: () => {
      throw new Error("onDisconnection");
    },
  });
  target.addEventListener("a:b", () => {
    throw new Error("a listener");
  });
  const spoke = await raw(url);
  expect(await spoke.say(text("a", "b"), subscribe("a:b"))).toEqual([subscribed("a:b")]);
  spoke.socket.close();
  await vi.waitFor(() => expect(errors.length).toBe(3));
  expect(errors.map(String)).toEqual(["Error: onConnection", "Error: a listener", "Error: onDisconnection"]);
});

test("the end of a connection is told with its code and reason, also to who asks too late", async () => {
  const connected = mailbox<Spoke<Record<string, unknown>>>();
  const { target, url } = await serve({ onConnection: (spoke) => connected.put(spoke) });
  const peer = await raw(url);
  const spoke = await connected.next();
  const told = mailbox<unknown>();
  spoke.addEventListener("a:b", () => {});
  target.addEventListener("a:b", () => {});
  spoke.addEventListener("c:d", () => {});
  expect(target.stats()).toMatchObject({ listened_topics: 2 });
  spoke.addEventListener("close", ({ detail }) => told.put(detail));
  peer.socket.close(4321, "enough");
  expect(await told.next()).toEqual({ code: 4321, reason: "enough" });
  const late: unknown[] = [];
  spoke.addEventListener("close", ({ detail }) => late.push(detail));
  spoke.addEventListener("close", ({ detail }) => told.put(detail));
  expect(await told.next()).toEqual({ code: 4321, reason: "enough" });
  await new Promise((resolve) => setTimeout(resolve));
  expect(late).toEqual([{ code: 4321, reason: "enough" }]);
  expect(spoke.dispatchEvent(event("a", "b"))).toBe(false);
  expect(await spoke.ready?.("a:b")).toEqual({ status: "closed" });
  expect(target.stats()).toMatchObject({ links: 0, connections: 1, listened_topics: 1 });
});

test("who is one too many is closed with 1013, who comes while it drains with 1001", async () => {
  const { target, url } = await serve({ maxLinks: 1 });
  const first = await raw(url);
  await first.say(subscribe("a:b"));
  expect((await (await raw(url)).closed)[0]).toBe(1013);
  target.drain();
  expect(await first.say(subscribe("a:b"), subscribe("c:d"))).toEqual([
    subscribed("a:b"),
    denied("c:d", "subscribe", "draining"),
  ]);
  expect((await (await raw(url)).closed)[0]).toBe(1001);
  target.dispatchEvent(event("a", "b"));
  expect(await first.next()).toBe(text("a", "b"));
});

// ---------------------------------------------------------------------------------------------- other sockets

test("one that is still connecting counts, hears nothing, and is told when it is open", () => {
  const told: unknown[] = [];
  const target = createWebSocketServerEventTarget({
    maxLinks: 1,
    fanOut: "all",
    onConnection: () => told.push("open"),
    onDisconnection: () => told.push("gone"),
  });
  const socket = fake(0);
  const spoke = target.addConnection(socket) as Spoke;
  const other = fake();
  expect([target.addConnection(other), other.closes[0]?.[0]]).toEqual([undefined, 1013]);
  target.dispatchEvent(event("a", "b", "too early"));
  expect(() => spoke.dispatchEvent(event("a", "b"))).toThrow(expect.objectContaining({ code: "not_open" }));
  expect([told, target.spokes.size, socket.binaryType]).toEqual([[], 0, "arraybuffer"]);
  socket.readyState = 1;
  socket.emit("open");
  target.dispatchEvent(event("a", "b", 1));
  expect([told, socket.sent, target.spokes.size]).toEqual([["open"], [text("a", "b", 1)], 1]);
  socket.emit("close", { code: 1006, reason: "" });
  expect(told).toEqual(["open", "gone"]);
  // One that never opens is nobody's business.
  const never = fake(0);
  target.addConnection(never);
  never.emit("close", { code: 1006 });
  expect([told.length, target.addConnection(fake(2)), target.addConnection(fake(3))]).toEqual([
    2,
    undefined,
    undefined,
  ]);
});

test("where a socket refuses codes of 1xxx, it is closed with 4xxx", () => {
  const target = createWebSocketServerEventTarget({ maxBufferedAmount: 10 });
  const socket = fake();
  const { close } = socket;
  socket.close = (code, reason) => {
    if (code !== undefined && code !== 1000 && code < 3000) throw new Error("InvalidAccessError");
    close(code, reason);
  };
  target.addConnection(socket);
  socket.bufferedAmount = 11;
  socket.say(ping);
  expect(socket.closes).toEqual([[4013, "more than 10 bytes wait"]]);
});

test("a socket without addEventListener (Bun): the program hands over what comes", () => {
  const told: unknown[] = [];
  const target = createWebSocketServerEventTarget({
    onBackpressure: (_, bufferedAmount) => told.push(bufferedAmount),
    onDisconnection: (_, reason) => told.push(reason),
  });
  const bun = () => {
    const sent: string[] = [];
    const closes: unknown[] = [];
    let result = 1;
    const socket: ServerWebSocketLike = {
      readyState: 1,
      binaryType: "nodebuffer",
      send(data) {
        sent.push(data);
        return result;
      },
      close: (code) => void closes.push(code),
      getBufferedAmount: () => 42,
    };
    return { socket, sent, closes, drop: () => (result = 0) };
  };
  const [one, two] = [bun(), bun()];
  const [ann, bob] = [target.addConnection(one.socket) as Spoke, target.addConnection(two.socket) as Spoke];
  expect(one.socket.binaryType).toBe("nodebuffer");
  ann.message(Buffer.from(subscribe("a:b")));
  bob.message(subscribe("a:b"));
  target.dispatchEvent(event("a", "b"));
  expect([one.sent, two.sent]).toEqual([
    [subscribed("a:b"), text("a", "b")],
    [subscribed("a:b"), text("a", "b")],
  ]);
  two.drop();
  target.dispatchEvent(event("a", "b"));
  expect(two.closes).toEqual([1013]);
  ann.closed(1001, "");
  ann.closed(1001, "");
  expect(told).toEqual([
    42,
    expect.objectContaining({ code: 1013 }),
    { code: 1001, reason: "the connection is closed" },
  ]);
});

// ---------------------------------------------------------------------------------------------- the laws

const capabilities = {
  echo: false,
  order: "connection",
  carries: "json",
  lifetime: "connection",
  confirms: true,
} as const;

/** A hub and its client, either of which publishes. */
const fixtures: Record<string, Fixture> = Object.fromEntries(
  (
    [
      "the hub to its spoke",
      "the spoke to its hub",
      "the hub to one spoke",
      "the spoke to its own target",
    ] as const
  ).map((way) => [
    way,
    {
      capabilities,
      offers: { reports: true, close: true },
      inPlace: async (target: unknown, topic: string) => {
        await (target as Spoke).ready?.(topic);
      },
      async peers() {
        const reported: unknown[] = [];
        const onError = (error: unknown) => reported.push(error);
        const connected = mailbox<Spoke<Record<string, unknown>>>();
        const { target, url } = await serve({ onError, onConnection: (spoke) => connected.put(spoke) });
        const client = createWebSocketClientEventTarget(await opened(url), { onError });
        const spoke = await connected.next();
        const ends = {
          "the hub to its spoke": [target, client],
          "the spoke to its hub": [client, target],
          "the hub to one spoke": [spoke, client],
          "the spoke to its own target": [client, spoke],
        }[way] as [never, never];
        return { publisher: ends[0], subscribers: [ends[1]], reported };
      },
    } satisfies Fixture,
  ]),
);

for (const [way, fixture] of Object.entries(fixtures)) {
  for (const law of laws) {
    const need = unmet(law, fixture);
    test.skipIf(need !== undefined)(`${way}: ${law.name}`, () => law.run(fixture));
  }
}
