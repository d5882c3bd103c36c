import { expectTypeOf, test } from "vitest";
import { WebSocket } from "ws";
import { createPubSub } from "../../src/index.js";
import { createIrohEndpoint, createIrohSpokeEventTarget, type IrohEndpoint } from "../../src/iroh/spoke.js";
import { createSpoke } from "../../src/spoke.js";

type Events = { tick: { n: number } };

test("an endpoint, and what is made with it", async () => {
  const endpoint = await createIrohEndpoint({
    relay: ["https://one.example/", new URL("https://two.example/")],
  });
  expectTypeOf(endpoint).toEqualTypeOf<IrohEndpoint>();
  await createIrohEndpoint({ relay: "https://one.example/", WebSocket, wasm: fetch("iroh.wasm") });
  const hubs = ["a ticket", { id: "an id" }, { id: "an id", relay: "https://one.example/" }] as const;
  for (const hubNodeId of hubs) {
    const eventTarget = await createIrohSpokeEventTarget<Events>({
      endpoint,
      hubNodeId,
      alpn: "alkpubsub/1",
    });
    createPubSub<Events>({ eventTarget }).publish("tick", "1", { n: 1 });
    createSpoke<Events>(() => endpoint.connect(hubNodeId));
  }
  // @ts-expect-error a hub is missing
  createIrohSpokeEventTarget({ endpoint });
  // @ts-expect-error a key is bytes
  createIrohEndpoint({ secretKey: "a key" });
});
