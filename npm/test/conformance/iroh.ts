// Targets over iroh: through the hub program and a relay, as pages have them.
import { once } from "node:events";
import { WebSocket } from "ws";
import type { Fixture, Target } from "../../src/conformance/index.js";
import type { IrohEndpoint } from "../../src/iroh/endpoint.js";
import { createIrohEndpoint, createIrohSpokeEventTarget } from "../../src/iroh/spoke-node.js";
import { type IrohHub, startIrohHub } from "../iroh-hub.js";

let stage: Promise<{ hub: IrohHub; endpoint: IrohEndpoint }> | undefined;
/** One for all laws: their topics are their own. */
function theStage() {
  stage ??= startIrohHub().then(async (hub) => ({
    hub,
    endpoint: await createIrohEndpoint({ relay: hub.relay, WebSocket }),
  }));
  return stage;
}
/** Whoever ran the laws ends it. */
export async function stopIroh(): Promise<void> {
  const { hub, endpoint } = (await stage) ?? {};
  await endpoint?.close();
  await hub?.stop();
}

/** Two connections of one endpoint, which is lent to both. */
export const irohSpoke: Fixture = {
  capabilities: { echo: true, order: "connection", carries: "json", lifetime: "connection", confirms: true },
  offers: { reports: true, close: true, lent: true },
  async inPlace(target, topic) {
    await target.ready?.(topic);
  },
  async peers() {
    const { hub, endpoint } = await theStage();
    const reported: unknown[] = [];
    const connect = async () =>
      (await createIrohSpokeEventTarget({
        endpoint,
        hubNodeId: hub.ticket,
        onError: (error) => reported.push(error),
      })) as Target;
    const [publisher, subscriber] = await Promise.all([connect(), connect()]);
    return {
      publisher,
      subscribers: [subscriber],
      reported,
      lent: {
        async useAgain() {
          const socket = endpoint.connect(hub.ticket) as EventTarget & ReturnType<IrohEndpoint["connect"]>;
          await once(socket, "open");
          socket.close();
        },
      },
      dispose() {
        for (const target of [publisher, subscriber]) target.close?.();
      },
    };
  },
};
