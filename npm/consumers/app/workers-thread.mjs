// The thread of workers.mjs.
import { createPubSub } from "@alkdev/pubsub";
import { createWorkerThreadEventTarget } from "@alkdev/pubsub/event-target-worker";

const eventTarget = createWorkerThreadEventTarget();
const pubsub = createPubSub({ eventTarget });
const hear = (topic, listener) =>
  eventTarget.addEventListener(topic, ({ detail }) => listener(detail.payload));

hear("there:1", (payload) => pubsub.publish("back", "1", payload));
hear("go:1", (count) => {
  let [at, wrong] = [0, 0];
  hear("in:1", (payload) => {
    if (payload !== at) wrong++;
    if (++at === count) pubsub.publish("heard", "1", `${at}, ${wrong} wrong`);
  });
  for (let n = 0; n < count; n++) pubsub.publish("out", "1", n);
});
hear("fail:1", () => {
  setTimeout(() => {
    throw new Error("this thread had enough");
  });
});
