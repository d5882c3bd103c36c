// What a program has let go of, and what of it has to live on: with a collector that can be called.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { WebSocket } from "ws";
import { createPubSub } from "../src/index.js";
import { createIrohEndpoint, createIrohSpokeEventTarget } from "../src/iroh/spoke-node.js";
import { startIrohHub } from "./iroh-hub.js";

setFlagsFromString("--expose-gc");
const collect: () => void = runInNewContext("gc");
/** Every runtime of the tests has it, and the language level of the package has not. */
const { FinalizationRegistry: Registry } = globalThis as unknown as {
  FinalizationRegistry: new (
    forgotten: (name: string) => void,
  ) => { register(object: object, name: string): void };
};

test("a target keeps the endpoint that it was made with, whoever else has forgotten it", async () => {
  const hub = await startIrohHub();
  try {
    const forgotten: string[] = [];
    const registry = new Registry((name) => forgotten.push(name));
    const connect = async () => {
      const endpoint = await createIrohEndpoint({ WebSocket });
      registry.register(endpoint, "endpoint");
      return createIrohSpokeEventTarget<{ tick: number }>({ endpoint, hubNodeId: hub.ticket });
    };
    const eventTarget = await connect();
    const ticks = createPubSub<{ tick: number }>({ eventTarget });
    const events = ticks.subscribe("tick", "");
    await events.ready;
    // Those who clean up behind the collector have their turn, too: some of them wait for others.
    for (let n = 0; n < 5 || !forgotten.length; n++) {
      collect();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    ticks.publish("tick", "", 1);
    expect((await events.next()).value).toMatchObject({ payload: 1 });
    eventTarget.close();
  } finally {
    await hub.stop();
  }
});
