// A worker's target beside plain postMessage and its message event, each way: node bench/workers.mjs. Build first.
//
// Rounds alternate, each on a worker that is there already; a figure is the median of its rounds, with their quartiles.
// A round is over when the other side has counted what came.
import { once } from "node:events";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import {
  createWorkerHostEventTarget,
  createWorkerThreadEventTarget,
} from "../dist/event-target-worker-node.js";
import { createPubSub } from "../dist/index.js";

const rounds = Number(process.env.ROUNDS ?? 15);
const count = Number(process.env.COUNT ?? 20_000);
const payload = { output: 42 };

/** How each sends, and hears what is of that type. */
const ways = {
  postMessage(port) {
    const heard = new Map();
    port.on("message", (message) => heard.get(message.type)?.(message.payload));
    return {
      send: (type, payload) => port.postMessage({ type, id: "1", payload }),
      hear: (type, listener) => heard.set(type, listener),
    };
  },
  "@alkdev/pubsub"(port) {
    const eventTarget = isMainThread ? createWorkerHostEventTarget(port) : createWorkerThreadEventTarget();
    const pubsub = createPubSub({ eventTarget });
    return {
      send: (type, payload) => pubsub.publish(type, "1", payload),
      hear: (type, listener) =>
        eventTarget.addEventListener(`${type}:1`, ({ detail }) => listener(detail.payload)),
    };
  },
};

/** Answers when so many have come; sends as many as it is asked to. */
function serve({ send, hear }) {
  let came = 0;
  hear("in", ({ output }) => {
    came += output === 42;
    if (came % count === 0) send("counted", came);
  });
  hear("go", () => {
    for (let n = 0; n < count; n++) send("out", payload);
  });
}

async function measure() {
  const sides = {};
  for (const [name, make] of Object.entries(ways)) {
    const worker = new Worker(new URL(import.meta.url), { workerData: name });
    await once(worker, "online");
    const side = make(worker);
    let done;
    let came = 0;
    side.hear("counted", () => done());
    side.hear("out", ({ output }) => {
      came += output === 42;
      if (came % count === 0) done();
    });
    const round = (begin) => {
      const since = performance.now();
      return new Promise((resolve) => {
        done = () => resolve((count / (performance.now() - since)) * 1000);
        begin();
      });
    };
    sides[name] = {
      worker,
      "host to thread": () =>
        round(() => {
          for (let n = 0; n < count; n++) side.send("in", payload);
        }),
      "thread to host": () => round(() => side.send("go", null)),
    };
  }
  for (const way of ["host to thread", "thread to host"]) {
    const found = {};
    for (let at = -3; at < rounds; at++) {
      for (const [name, side] of Object.entries(sides)) {
        const rate = await side[way]();
        // The first warm up.
        found[name] ??= [];
        if (at >= 0) found[name].push(rate);
      }
    }
    const middle = {};
    for (const [name, rates] of Object.entries(found)) {
      rates.sort((a, b) => a - b);
      const [low, median, high] = [0.25, 0.5, 0.75].map((part) =>
        Math.round(rates[Math.floor(part * rounds)]),
      );
      middle[name] = median;
      console.log(`${way}  ${name.padEnd(16)} ${median} events/s (${low} to ${high})`);
    }
    console.log(`${way}  ${(middle["@alkdev/pubsub"] / middle.postMessage).toFixed(2)} of plain`);
  }
  for (const { worker } of Object.values(sides)) await worker.terminate();
}

if (isMainThread) await measure();
else serve(ways[workerData](parentPort));
