// The package beside others that publish in one process: npm run bench. Build first.
//
// Rounds alternate between the libraries, so that a slow spell of the machine meets all of them; each figure is the
// median of its rounds, with their quartiles. Every workload counts what arrived and fails if something is missing.
import EventEmitter from "node:events";
import { createPubSub as yoga } from "@graphql-yoga/subscription";
import Emittery from "emittery";
import { EventEmitter as EventEmitter3 } from "eventemitter3";
import mitt from "mitt";
import { createInProcessEventTarget, createPubSub } from "../dist/index.js";

const rounds = Number(process.env.ROUNDS ?? 15);
/** How long a round of one library takes, about, in milliseconds. */
const slice = Number(process.env.SLICE ?? 40);
const payload = { output: 42 };

/** Each makes a publisher with so many listeners, each of which adds one to `heard.count`. */
const publishers = {
  "@alkdev/pubsub": (listeners, heard) => {
    const target = createInProcessEventTarget();
    for (let at = 0; at < listeners; at++) {
      target.addEventListener("tick:1", ({ detail }) => (heard.count += detail.payload.output === 42));
    }
    const pubsub = createPubSub({ eventTarget: target });
    return () => pubsub.publish("tick", "1", payload);
  },
  "@alkdev/pubsub on EventTarget": (listeners, heard) => {
    const target = new EventTarget();
    for (let at = 0; at < listeners; at++) {
      target.addEventListener("tick:1", ({ detail }) => (heard.count += detail.payload.output === 42));
    }
    const pubsub = createPubSub({ eventTarget: target });
    return () => pubsub.publish("tick", "1", payload);
  },
  "graphql-yoga": (listeners, heard) => {
    const target = new EventTarget();
    for (let at = 0; at < listeners; at++) {
      target.addEventListener("tick:1", ({ detail }) => (heard.count += detail.output === 42));
    }
    const pubsub = yoga({ eventTarget: target });
    return () => pubsub.publish("tick", "1", payload);
  },
  mitt: (listeners, heard) => {
    const emitter = mitt();
    for (let at = 0; at < listeners; at++) {
      emitter.on("tick:1", ({ output }) => (heard.count += output === 42));
    }
    return () => emitter.emit("tick:1", payload);
  },
  eventemitter3: (listeners, heard) => {
    const emitter = new EventEmitter3();
    for (let at = 0; at < listeners; at++) {
      emitter.on("tick:1", ({ output }) => (heard.count += output === 42));
    }
    return () => emitter.emit("tick:1", payload);
  },
  "node:events": (listeners, heard) => {
    const emitter = new EventEmitter().setMaxListeners(0);
    for (let at = 0; at < listeners; at++) {
      emitter.on("tick:1", ({ output }) => (heard.count += output === 42));
    }
    return () => emitter.emit("tick:1", payload);
  },
  // Its emit is asynchronous: awaited, as the others are done when they return.
  emittery: (listeners, heard) => {
    const emitter = new Emittery();
    for (let at = 0; at < listeners; at++) {
      const hear = (event) => {
        heard.count += (event.data ?? event).output === 42;
      };
      emitter.on("tick:1", hear);
    }
    return () => emitter.emit("tick:1", payload);
  },
};

/** Each gives what publishes, and an async iterator of what was published. */
const streams = {
  "@alkdev/pubsub": () => {
    const pubsub = createPubSub();
    const events = pubsub.subscribe("tick", "1");
    return { publish: () => pubsub.publish("tick", "1", payload), events, of: (event) => event.payload };
  },
  "graphql-yoga": () => {
    const pubsub = yoga();
    const events = pubsub.subscribe("tick", "1");
    return { publish: () => pubsub.publish("tick", "1", payload), events, of: (event) => event };
  },
  "node:events": () => {
    const emitter = new EventEmitter();
    const events = EventEmitter.on(emitter, "tick:1");
    return { publish: () => emitter.emit("tick:1", payload), events, of: ([event]) => event };
  },
  emittery: () => {
    const emitter = new Emittery();
    const events = emitter.events("tick:1");
    return { publish: () => emitter.emit("tick:1", payload), events, of: (event) => event.data ?? event };
  },
};

/** So many events at a time wait for the reader: fewer than the 1,024 beyond which graphql-yoga throws. */
async function stream({ publish, events, of }, count, burst) {
  const reader = events[Symbol.asyncIterator]();
  let next = reader.next();
  let heard = 0;
  for (let sent = 0; sent < count; sent += burst) {
    for (let at = 0; at < burst; at++) publish();
    for (let at = 0; at < burst; at++) {
      const { value } = await next;
      heard += of(value).output === 42;
      next = reader.next();
    }
  }
  // Not awaited: some wait for the read under way to end first.
  void reader.return?.();
  return heard;
}

async function publishing(make, listeners, count) {
  const heard = { count: 0 };
  const publish = make(listeners, heard);
  const started = performance.now();
  for (let at = 0; at < count; at++) {
    const done = publish();
    if (typeof done === "object") await done;
  }
  const took = performance.now() - started;
  if (heard.count !== count * listeners) throw new Error(`${heard.count} of ${count * listeners} arrived`);
  return took;
}

async function streaming(make, burst, count) {
  const whole = Math.ceil(count / burst) * burst;
  const started = performance.now();
  const heard = await stream(make(), whole, burst);
  const took = performance.now() - started;
  if (heard !== whole) throw new Error(`${heard} of ${whole} arrived`);
  return (took * count) / whole;
}

const workloads = [
  ...[1, 10, 100].map((listeners) => ({
    name: `publish to ${listeners} listener${listeners > 1 ? "s" : ""}`,
    peers: publishers,
    run: (make, count) => publishing(make, listeners, count),
  })),
  ...[1, 100].map((burst) => ({
    name: burst === 1 ? "stream, each event awaited" : `stream, ${burst} events at a time`,
    peers: streams,
    run: (make, count) => streaming(make, burst, count),
  })),
];

const sorted = (numbers) => [...numbers].sort((a, b) => a - b);
const quantile = (numbers, part) => sorted(numbers)[Math.round((numbers.length - 1) * part)];

console.log(
  `node ${process.version}, ${rounds} alternating rounds of about ${slice} ms; nanoseconds an event, median (quartiles)\n`,
);
for (const { name, peers, run } of workloads) {
  const entries = Object.entries(peers).map(([peer, make]) => ({ peer, make, count: 200, times: [] }));
  // As many events as fill a slice, found while the code gets warm.
  for (const entry of entries) {
    for (let took = 0; took < slice; ) {
      took = await run(entry.make, entry.count);
      entry.count = Math.ceil(entry.count * Math.min(4, Math.max(1.05, slice / Math.max(took, 0.01))));
    }
  }
  for (let round = 0; round < rounds; round++) {
    for (const { make, count, times } of entries) times.push(((await run(make, count)) * 1e6) / count);
  }
  const first = quantile(entries[0].times, 0.5);
  console.log(`| ${name} | ns | quartiles | to ours |\n| --- | --: | --: | --: |`);
  for (const { peer, times } of entries) {
    const [low, middle, high] = [0.25, 0.5, 0.75].map((part) => quantile(times, part));
    const shown = [low, middle, high].map((time) => time.toFixed(0));
    console.log(`| ${peer} | ${shown[1]} | ${shown[0]}-${shown[2]} | ${(middle / first).toFixed(2)} |`);
  }
  console.log();
}
// Iterators that nobody reads to their end keep nothing alive, but some libraries' timers may.
process.exit(0);
