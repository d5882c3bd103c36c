// The WebSocket client's target beside targets written by hand, on a socket in memory: node bench/link.mjs. Build first.
//
// One is what the first description of such a target says, on the platform's EventTarget, under the same createPubSub;
// one is the least that does the job, on a Map, and under nothing. Neither checks what comes, counts, tells of losses
// or unsubscribes. Rounds alternate; each figure is the median of its rounds. What arrived is counted.
import { createWebSocketClientEventTarget } from "../dist/event-target-websocket-client.js";
import { createPubSub } from "../dist/index.js";

const rounds = Number(process.env.ROUNDS ?? 21);
const messages = Number(process.env.MESSAGES ?? 20_000);

/** What a target may ask of a socket, and no more. */
class MemorySocket extends EventTarget {
  readyState = 1;
  bufferedAmount = 0;
  binaryType = "blob";
  sent = 0;
  handlers = new Set();
  addEventListener(type, listener) {
    if (type === "message") this.handlers.add(listener);
  }
  removeEventListener(_type, listener) {
    this.handlers.delete(listener);
  }
  send(text) {
    this.sent += text.length;
  }
  deliver(event) {
    for (const handler of this.handlers) handler(event);
  }
}

function described(socket) {
  const target = new EventTarget();
  socket.addEventListener("message", ({ data }) => {
    const envelope = JSON.parse(data);
    EventTarget.prototype.dispatchEvent.call(
      target,
      new CustomEvent(`${envelope.type}:${envelope.id}`, { detail: envelope }),
    );
  });
  target.dispatchEvent = (event) => {
    socket.send(JSON.stringify(event.detail));
    return true;
  };
  const pubsub = createPubSub({ eventTarget: target });
  return {
    on: (topic, listener) => target.addEventListener(topic, listener),
    publish: (type, id, payload) => pubsub.publish(type, id, payload),
  };
}

function least(socket) {
  const listeners = new Map();
  socket.addEventListener("message", ({ data }) => {
    const detail = JSON.parse(data);
    for (const listener of listeners.get(`${detail.type}:${detail.id}`) ?? []) listener({ detail });
  });
  return {
    on: (topic, listener) => listeners.set(topic, [...(listeners.get(topic) ?? []), listener]),
    publish(type, id, payload) {
      socket.send(JSON.stringify({ type, id, payload }));
      return true;
    },
  };
}

function ours(socket) {
  const eventTarget = createWebSocketClientEventTarget(socket, { forwardSubscriptions: false });
  const pubsub = createPubSub({ eventTarget });
  return {
    on: (topic, listener) => eventTarget.addEventListener(topic, listener),
    publish: (type, id, payload) => pubsub.publish(type, id, payload),
  };
}

const kinds = { ours, described, least };
const payloads = {
  "30 B": { output: 42, unit: "meter" },
  "128 B": { text: "x".repeat(90), sequence: 1234, ok: true },
  "128 B, not ASCII": { text: "é".repeat(45), sequence: 1234, ok: true },
  "4 KiB": {
    rows: Array.from({ length: 60 }, (_, id) => ({
      id,
      name: `row number ${id}`,
      ratio: id / 7,
      open: id % 3 === 0,
    })),
  },
};

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

/** Nanoseconds a message, of each kind in turn. */
function compare(make, count) {
  const runs = Object.fromEntries(Object.entries(kinds).map(([name, kind]) => [name, make(kind)]));
  const times = Object.fromEntries(Object.keys(kinds).map((name) => [name, []]));
  for (let round = -3; round < rounds; round++) {
    for (const [name, run] of Object.entries(runs)) {
      const since = performance.now();
      run(count);
      const took = performance.now() - since;
      if (round >= 0) times[name].push((took / count) * 1e6);
    }
  }
  return Object.fromEntries(Object.entries(times).map(([name, values]) => [name, median(values)]));
}

const rows = [];
for (const [size, payload] of Object.entries(payloads)) {
  const count = size === "4 KiB" ? messages / 20 : messages;
  const text = JSON.stringify({ type: "call.responded", id: "uuid-123", payload });
  // Strings as a socket makes them, flat and each for itself.
  const events = Array.from({ length: 1024 }, () => ({ data: Buffer.from(text).toString() }));
  const received = (kind) => {
    const socket = new MemorySocket();
    const target = kind(socket);
    let heard = 0;
    target.on("call.responded:uuid-123", ({ detail }) => (heard += detail.payload !== undefined));
    return (times) => {
      const before = heard;
      for (let at = 0; at < times; at++) socket.deliver(events[at & 1023]);
      if (heard - before !== times) throw new Error(`${kind.name}: ${heard - before} of ${times} came`);
    };
  };
  const sent = (kind) => {
    const socket = new MemorySocket();
    const target = kind(socket);
    return (times) => {
      const before = socket.sent;
      for (let at = 0; at < times; at++) target.publish("call.responded", "uuid-123", payload);
      if (socket.sent - before !== times * text.length) throw new Error(`${kind.name}: not all was sent`);
    };
  };
  rows.push([`received, ${size}`, compare(received, count)], [`sent, ${size}`, compare(sent, count)]);
}

console.log(
  "| ns a message | ours | as described | the least | messages/s, ours by described | by the least |",
);
console.log("| --- | --: | --: | --: | --: | --: |");
for (const [name, { ours: own, described: first, least: second }] of rows) {
  const ratio = (other) => (other / own).toFixed(2);
  console.log(
    `| ${name} | ${own.toFixed(0)} | ${first.toFixed(0)} | ${second.toFixed(0)} | ${ratio(first)} | ${ratio(second)} |`,
  );
}
