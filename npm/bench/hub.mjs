// The WebSocket server's target beside a hub written by hand, on sockets in memory: node bench/hub.mjs. Build first.
//
// The one by hand is the least that does the job: JSON.parse, a Map of Sets, send. It checks nothing, denies nothing, counts
// nothing and looks at no buffer. Rounds alternate; each figure is the median of its rounds. What arrived is counted.
import { createWebSocketServerEventTarget } from "../dist/event-target-websocket-server.js";
import { createPubSub } from "../dist/index.js";

const rounds = Number(process.env.ROUNDS ?? 21);
const messages = Number(process.env.MESSAGES ?? 20_000);

/** What a hub may ask of a socket, and no more. */
class MemorySocket {
  readyState = 1;
  bufferedAmount = 0;
  sent = 0;
  handler = undefined;
  addEventListener(type, listener) {
    if (type === "message") this.handler = listener;
  }
  removeEventListener() {}
  close() {}
  send(text) {
    this.sent += text.length > 0;
  }
}

function byHand() {
  const topics = new Map();
  const listeners = new Map();
  return {
    add(socket) {
      socket.addEventListener("message", ({ data }) => {
        const envelope = JSON.parse(data);
        if (envelope.type === "__subscribe") {
          const { topic } = envelope.payload;
          if (!topics.has(topic)) topics.set(topic, new Set());
          topics.get(topic).add(socket);
          socket.send(JSON.stringify({ type: "__subscribed", id: "", payload: { topic } }));
        } else {
          const heard = listeners.get(`${envelope.type}:${envelope.id}`);
          if (heard) for (const listener of heard) listener({ detail: envelope });
        }
      });
    },
    on: (topic, listener) => listeners.set(topic, [...(listeners.get(topic) ?? []), listener]),
    publish(type, id, payload) {
      const text = JSON.stringify({ type, id, payload });
      const wanted = topics.get(`${type}:${id}`);
      if (wanted) for (const socket of wanted) socket.send(text);
      return true;
    },
  };
}

function ours() {
  const target = createWebSocketServerEventTarget();
  const pubsub = createPubSub({ eventTarget: target });
  return {
    add: (socket) => target.addConnection(socket),
    on: (topic, listener) => target.addEventListener(topic, listener),
    publish: (type, id, payload) => pubsub.publish(type, id, payload),
  };
}

const kinds = { ours, "by hand": byHand };
const type = "call.responded";
const payloads = {
  "30 B": { output: 42, unit: "meter" },
  "128 B": { text: "x".repeat(90), sequence: 1234, ok: true },
  "4 KiB": {
    rows: Array.from({ length: 60 }, (_, id) => ({
      id,
      name: `row number ${id}`,
      ratio: id / 7,
      open: !(id % 3),
    })),
  },
};
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

function compare(make, count) {
  const runs = Object.entries(kinds).map(([name, kind]) => [name, make(kind()), []]);
  for (let round = -3; round < rounds; round++) {
    for (const [name, run, times] of runs) {
      const since = performance.now();
      const came = run(count);
      if (round >= 0) times.push(((performance.now() - since) / count) * 1e6);
      if (came !== count) throw new Error(`${name}: ${came} of ${count} came`);
    }
  }
  return runs.map(([name, , times]) => [name, median(times)]);
}

const rows = [];
for (const [size, payload] of Object.entries(payloads)) {
  const count = size === "4 KiB" ? messages / 20 : messages;
  const text = JSON.stringify({ type, id: "uuid-123", payload });
  // Strings as a socket makes them, flat and each for itself.
  const events = Array.from({ length: 1024 }, () => ({ data: Buffer.from(text).toString() }));
  const received = (hub) => {
    const sockets = Array.from({ length: 16 }, () => new MemorySocket());
    for (const socket of sockets) hub.add(socket);
    let heard = 0;
    hub.on(`${type}:uuid-123`, ({ detail }) => {
      heard += detail.payload !== undefined;
    });
    return (times) => {
      const before = heard;
      for (let at = 0; at < times; at++) sockets[at & 15].handler(events[at & 1023]);
      return heard - before;
    };
  };
  const sent = (width) => (hub) => {
    const sockets = Array.from({ length: width }, () => new MemorySocket());
    const payloadOfTopic = { topic: `${type}:uuid-123` };
    const data = JSON.stringify({ type: "__subscribe", id: "", payload: payloadOfTopic });
    for (const socket of sockets) {
      hub.add(socket);
      socket.handler({ data });
    }
    const all = () => sockets.reduce((sum, socket) => sum + socket.sent, 0);
    return (deliveries) => {
      const before = all();
      for (let at = 0; at < deliveries / width; at++) hub.publish(type, "uuid-123", payload);
      return all() - before;
    };
  };
  rows.push([`${size}, in`, compare(received, count)]);
  for (const width of [1, 200])
    rows.push([`${size}, out to ${width}`, compare(sent(width), width > 1 ? count * 20 : count)]);
}
for (const [name, [[, one], [, other]]] of rows) {
  const rate = (time) =>
    `${Math.round(1e9 / time)
      .toLocaleString("en")
      .padStart(11)}/s`;
  console.log(
    `${name.padEnd(18)} ours ${rate(one)}   by hand ${rate(other)}   ratio ${(other / one).toFixed(2)}`,
  );
}
