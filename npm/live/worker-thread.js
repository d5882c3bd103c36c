import { createWorkerThreadEventTarget } from "../dist/event-target-worker.js";
import { createPubSub } from "../dist/index.js";

const pubsub = createPubSub({ eventTarget: createWorkerThreadEventTarget() });

async function answer() {
  // More than 1,024 may wait while the other side only talks.
  const questions = pubsub.subscribe("question", "1", { capacity: 20_000 });
  for await (const { id, payload } of questions) pubsub.publish("answer", id, payload);
}
async function fail() {
  for await (const _ of pubsub.subscribe("question", "fails")) setTimeout(() => nothing.at.all());
}
answer();
fail();
