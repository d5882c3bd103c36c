// A page and a worker of its own: what the page publishes the worker answers, and what it holds comes as it was.
import { createWorkerHostEventTarget } from "../dist/event-target-worker.js";
import { createPubSub } from "../dist/index.js";

const done = (text) => {
  const element = document.createElement("pre");
  element.id = "done";
  element.textContent = text;
  document.body.append(element);
};

async function run() {
  const worker = new Worker("worker-thread.js");
  const eventTarget = createWorkerHostEventTarget(worker);
  const pubsub = createPubSub({ eventTarget });
  const answers = pubsub.subscribe("answer", "1");
  await answers.ready;
  const sent = {
    map: new Map([["a", 1n]]),
    date: new Date(0),
    bytes: new Uint8Array([1, 2]),
    nothing: undefined,
  };
  pubsub.publish("question", "1", sent);
  const { payload } = (await answers.next()).value;
  const same =
    payload.map.get("a") === 1n &&
    payload.date.getTime() === 0 &&
    payload.bytes[1] === 2 &&
    "nothing" in payload;
  let count = 0;
  for (let n = 0; n < 10_000; n++) pubsub.publish("question", "1", n);
  while (count < 10_000) {
    const { value } = await answers.next();
    if (value.payload !== count++) throw new Error(`${value.payload} came in the place of ${count - 1}`);
  }
  const errors = [];
  eventTarget.addEventListener("error", ({ detail }) => errors.push(String(detail.error)));
  const failed = new Promise((resolve) => eventTarget.addEventListener("error", resolve, { once: true }));
  pubsub.publish("question", "fails", 0);
  await failed;
  worker.terminate();
  return `same: ${same}; in order: ${count}; ${errors.join()}`;
}

run().then(done, (error) => done(`FAILED ${error.stack}`));
