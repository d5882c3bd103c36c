// The host of a worker: of node:worker_threads, or, with the argument `web`, of the platform's own.
import { createPubSub } from "@alkdev/pubsub";
import {
  createWorkerHostEventTarget,
  createWorkerThreadEventTarget,
} from "@alkdev/pubsub/event-target-worker";

const isWeb = process.argv.includes("web");
const Threads = isWeb ? globalThis.Worker : (await import("node:worker_threads")).Worker;
const begin = () => {
  const worker = new Threads(new URL("./workers-thread.mjs", import.meta.url), { type: "module" });
  const eventTarget = createWorkerHostEventTarget(worker);
  const pubsub = createPubSub({ eventTarget });
  const closed = new Promise((resolve) => {
    eventTarget.addEventListener("close", ({ detail }) => resolve(detail.reason));
  });
  // An error that is not handled ends the process, as it does without us.
  worker.on?.("error", () => {});
  worker.addEventListener?.("error", (event) => event.preventDefault());
  return { worker, eventTarget, pubsub, closed };
};
const codeOf = (call) => {
  try {
    return call();
  } catch ({ code }) {
    return code;
  }
};

const { worker, pubsub, eventTarget, closed } = begin();
const back = pubsub.subscribe("back", "1");
console.log(`ready: ${(await back.ready).status}`);
for (const n of [1, 2, 3]) pubsub.publish("there", "1", n);
pubsub.publish("there", "1", new Map([["a", new Date(7)]]));
const heard = [];
for await (const { payload } of back) {
  if (payload instanceof Map) {
    console.log(`waited for the thread: ${heard}; a map of a date: ${payload.get("a").getTime()}`);
    break;
  }
  heard.push(payload);
}

const count = 10_000;
let [at, wrong] = [0, 0];
const all = new Promise((resolve) => {
  eventTarget.addEventListener("out:1", ({ detail }) => {
    if (detail.payload !== at) wrong++;
    if (++at === count) resolve();
  });
});
const told = pubsub.subscribe("heard", "1").next();
pubsub.publish("go", "1", count);
for (let n = 0; n < count; n++) pubsub.publish("in", "1", n);
await all;
console.log(`out: ${at}, ${wrong} wrong; in: ${(await told).value.payload}`);
console.log(`a function: ${codeOf(() => pubsub.publish("there", "1", () => 1))}`);
console.log(`no worker here: ${codeOf(() => createWorkerThreadEventTarget())}`);
await worker.terminate();
// Not every runtime tells, or with the same code.
if (!process.argv.includes("silent")) console.log(`terminated: ${(await closed).replace(/\d+/, "n")}`);

const failing = begin();
failing.pubsub.publish("fail", "1", null);
console.log(`failed: ${(await failing.closed).replace(/.*enough.*/, "with its error").replace(/\d+$/, "n")}`);
process.exit(0);
