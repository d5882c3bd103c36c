// Two ends of a port: in one thread, and with a thread between them.
import { MessageChannel, Worker } from "node:worker_threads";
import type { Fixture } from "../../src/conformance/index.js";
import { createWorkerHostEventTarget } from "../../src/worker-node.js";

const promises: Fixture = {
  capabilities: {
    echo: false,
    order: "connection",
    carries: "clone",
    lifetime: "connection",
    confirms: true,
  },
  offers: { reports: true, close: true, cut: true },
  peers() {
    const { port1, port2 } = new MessageChannel();
    const reported: unknown[] = [];
    return {
      publisher: createWorkerHostEventTarget(port1),
      subscribers: [createWorkerHostEventTarget(port2, { onError: (error) => reported.push(error) })],
      reported,
      fault: { cut: () => port1.close(), heal: () => undefined },
      dispose: () => port1.close(),
    };
  },
};

/** Both ends of a channel. */
export const port: Fixture = promises;

/** The host of a worker, and a port that its thread passes everything on from. */
export const worker: Fixture = {
  ...promises,
  peers() {
    const { port1, port2: port } = new MessageChannel();
    const thread = new Worker(new URL("../workers/relay.mjs", import.meta.url), {
      workerData: { port },
      transferList: [port],
    });
    const terminate = async () => {
      await thread.terminate();
    };
    const reported: unknown[] = [];
    return {
      publisher: createWorkerHostEventTarget(port1),
      subscribers: [createWorkerHostEventTarget(thread, { onError: (error) => reported.push(error) })],
      reported,
      fault: { cut: terminate, heal: () => undefined },
      async dispose() {
        port1.close();
        await terminate();
      },
    };
  },
};
