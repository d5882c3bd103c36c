// A process that has nothing to wait for but what the targets hold: it is to end by itself.
import { MessageChannel, Worker } from "node:worker_threads";
import { createPubSub } from "@alkdev/pubsub";
import { createWorkerHostEventTarget } from "@alkdev/pubsub/event-target-worker";

const cases = {
  // A worker that the program does not wait for; the thread listens, and so does the host.
  async worker() {
    const worker = new Worker(new URL("thread.mjs", import.meta.url), { workerData: { task: "mirror" } });
    const pubsub = createPubSub({ eventTarget: createWorkerHostEventTarget(worker) });
    const events = pubsub.subscribe("back", "1");
    const first = events.next();
    pubsub.publish("there", "1", "and back");
    console.log((await first).value.payload);
    events.next();
    worker.unref();
  },
  // A port, while nobody listens any more.
  async port() {
    const { port1, port2 } = new MessageChannel();
    const [here, there] = [port1, port2].map((port) =>
      createPubSub({ eventTarget: createWorkerHostEventTarget(port) }),
    );
    const events = there.subscribe("a", "1");
    const first = events.next();
    here.publish("a", "1", "and back");
    console.log((await first).value.payload);
    await events.return();
  },
  // A port that is listened to, and that the program does not wait for.
  async unref() {
    const { port1, port2 } = new MessageChannel();
    const eventTarget = createWorkerHostEventTarget(port1);
    eventTarget.addEventListener("a:1", () => {});
    port1.unref();
    console.log("and back");
    globalThis.kept = port2;
  },
};
await cases[process.argv[2]]();
