// What is taken for a worker, and what is known of its events.
import type { MessagePort as NodePort, Worker as NodeWorker } from "node:worker_threads";
import { expectTypeOf, test } from "vitest";
import { createPubSub } from "../../src/index.js";
import type { PubSubEventTarget } from "../../src/types.js";
import { createWorkerHostEventTarget, createWorkerThreadEventTarget } from "../../src/worker.js";
import * as node from "../../src/worker-node.js";

type Events = { job: { pixels: ArrayBuffer }; done: number };

test("workers and ports of browsers and of Node are taken", () => {
  const take = createWorkerHostEventTarget<Events>;
  type Taken = Parameters<typeof take>[0];
  expectTypeOf<Worker>().toExtend<Taken>();
  expectTypeOf<MessagePort>().toExtend<Taken>();
  expectTypeOf<BroadcastChannel>().toExtend<Taken>();
  expectTypeOf<NodeWorker>().toExtend<Taken>();
  expectTypeOf<NodePort>().toExtend<Taken>();
  expectTypeOf<SharedWorker>().not.toExtend<Taken>();
  expectTypeOf(take).returns.toEqualTypeOf<PubSubEventTarget<Events>>();
});

test("the target fits createPubSub, and options are checked", () => {
  const eventTarget = createWorkerThreadEventTarget<Events>({
    transfer: ({ payload }) => (payload instanceof ArrayBuffer ? [payload] : []),
  });
  const pubsub = createPubSub<Events>({ eventTarget });
  // @ts-expect-error: a number
  pubsub.publish("done", "1", "text");
  // @ts-expect-error: no list
  createWorkerThreadEventTarget({ transfer: () => 1 });
});

test("the entry of Node has the same types", () => {
  expectTypeOf(node.createWorkerHostEventTarget).toEqualTypeOf(createWorkerHostEventTarget);
  expectTypeOf(node.createWorkerThreadEventTarget).toEqualTypeOf(createWorkerThreadEventTarget);
});
