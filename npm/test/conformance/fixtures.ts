import { setMaxListeners } from "node:events";
import { type Fixture, inProcess } from "../../src/conformance/index.js";
import { irohSpoke } from "./iroh.js";
import { redisByIoredis, redisByNodeRedis } from "./redis.js";
import { spoke, websocketClient, websocketServer } from "./websocket.js";
import { spokeWire, websocketClientWire, websocketServerWire } from "./wired.js";
import { irohSpokeWire } from "./wired-stream.js";
import { port, worker } from "./worker.js";

/** The targets of this package, and the platform's own, by the name of their column. */
export const fixtures: Record<string, Fixture> = {
  in_process: inProcess,
  event_target: {
    ...inProcess,
    // Not `reports`: what a listener throws there ends a process. Not `close`: it has none.
    offers: {},
    peers() {
      const target = new EventTarget();
      setMaxListeners(0, target);
      return { publisher: target, subscribers: [target] };
    },
  },
  websocket_client: websocketClient,
  spoke,
  websocket_server: websocketServer,
  iroh_spoke: irohSpoke,
  websocket_client_wire: websocketClientWire(),
  spoke_wire: spokeWire(),
  websocket_server_wire: websocketServerWire(),
  iroh_spoke_wire: irohSpokeWire,
  redis_ioredis: redisByIoredis,
  redis_node: redisByNodeRedis,
  port,
  worker,
};
