// A thread with the package in it, as it is built; `workerData` says what it does.
import { parentPort, workerData } from "node:worker_threads";
import { createPubSub } from "@alkdev/pubsub";
import { createWorkerThreadEventTarget } from "@alkdev/pubsub/event-target-worker";

const eventTarget = createWorkerThreadEventTarget();
const pubsub = createPubSub({ eventTarget });
const hear = (topic, listener) => eventTarget.addEventListener(topic, ({ detail }) => listener(detail));

const tasks = {
  /** Sends back what comes, and what it says of it here. */
  mirror() {
    hear("there:1", ({ payload }) => pubsub.publish("back", "1", payload));
    hear("which:1", ({ payload }) => {
      const name = Object.prototype.toString.call(payload);
      pubsub.publish("back", "1", name);
    });
  },
  /** So many events out, and as many in, at the same time. */
  flood({ count }) {
    let next = 0;
    let wrong = 0;
    hear("in:1", ({ payload }) => {
      if (payload !== next) wrong++;
      if (++next === count) pubsub.publish("heard", "1", { next, wrong });
    });
    hear("go:1", () => {
      for (let n = 0; n < count; n++) pubsub.publish("out", "1", n);
    });
  },
  /** Says a last word and fails. */
  crash() {
    hear("crash:1", () => {
      for (const n of [1, 2, 3]) pubsub.publish("last", "1", n);
      throw new Error("this thread had enough");
    });
    // A listener's error is told, not thrown: it fails outside of them.
    hear("crash:2", () => queueMicrotask(() => Promise.reject(new RangeError("out of it"))));
    hear("exit:1", ({ payload }) => process.exit(payload));
  },
  /** Listens to nothing. */
  speaker() {
    pubsub.publish("said", "1", "all");
  },
  /** Listens until it has heard one event. */
  async once() {
    for await (const { payload } of pubsub.subscribe("one", "1")) {
      pubsub.publish("said", "1", payload);
      break;
    }
  },
  /** Lets go while it listens. */
  closes() {
    hear("close:1", () => eventTarget.close());
    pubsub.publish("said", "1", "ready");
  },
  /** Posts what is no envelope, then one that is. */
  hostile({ messages }) {
    hear("go:1", () => {
      for (const message of messages) parentPort.postMessage(message);
      pubsub.publish("end", "1", "of them");
    });
  },
};
tasks[workerData.task](workerData);
