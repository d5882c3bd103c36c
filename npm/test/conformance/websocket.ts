// Targets on real sockets: through the hub program, and at a hub of our own.
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { WebSocket, WebSocketServer } from "ws";
import type { Fixture, Peers, Target } from "../../src/conformance/index.js";
import { createSpoke } from "../../src/spoke.js";
import { createWebSocketClientEventTarget } from "../../src/websocket-client.js";
import { createWebSocketServerEventTarget } from "../../src/websocket-server.js";
import { type HubProgram, startHub } from "../hub.js";

const onWire: Fixture = {
  capabilities: { echo: true, order: "connection", carries: "json", lifetime: "connection", confirms: true },
  offers: { reports: true, close: true },
  async inPlace(target, topic) {
    await (target as { ready?(topic: string): Promise<unknown> }).ready?.(topic);
  },
  peers: () => Promise.reject(new Error("a fixture of its own says which")),
};

let hub: Promise<HubProgram> | undefined;
/** One for all laws: their topics are their own. */
async function theHub(): Promise<string> {
  hub ??= startHub();
  return (await hub).url;
}
/** Whoever ran the laws ends it. */
export async function stopHub(): Promise<void> {
  await (await hub)?.stop("SIGKILL");
}

/** A connection to that hub. */
async function connect(url: string): Promise<WebSocket> {
  const socket = new WebSocket(url);
  await once(socket, "open");
  return socket;
}

/** Two spokes of the hub program, which gives a publisher its own events, too. */
export const websocketClient: Fixture = {
  ...onWire,
  offers: { ...onWire.offers, cut: true },
  async peers(): Promise<Peers> {
    const url = await theHub();
    const reported: unknown[] = [];
    const [one, two] = [await connect(url), await connect(url)];
    const onError = (error: unknown) => reported.push(error);
    return {
      publisher: createWebSocketClientEventTarget(one) as Target,
      subscribers: [createWebSocketClientEventTarget(two, { onError }) as Target],
      reported,
      fault: { cut: () => two.terminate(), heal: () => undefined },
      dispose() {
        one.terminate();
        two.terminate();
      },
    };
  },
};

/** The same with targets that outlive their connections. */
export const spoke: Fixture = {
  ...onWire,
  capabilities: { ...onWire.capabilities, lifetime: "outlives" },
  async peers(): Promise<Peers> {
    const url = await theHub();
    const reported: unknown[] = [];
    const onError = (error: unknown) => reported.push(error);
    const [one, two] = await Promise.all(
      [1, 2].map(
        () =>
          new Promise<ReturnType<typeof createSpoke>>((resolve) => {
            const made = createSpoke(() => new WebSocket(url), {
              onError,
              onState({ status }) {
                if (status === "connected") setImmediate(() => resolve(made));
              },
            });
          }),
      ),
    );
    if (!one || !two) throw new Error("there are two");
    return {
      publisher: one as Target,
      subscribers: [two as Target],
      reported,
      dispose() {
        one.close();
        two.close();
      },
    };
  },
};

/** A hub of our own publishes, and a client of it hears. */
export const websocketServer: Fixture = {
  ...onWire,
  capabilities: { ...onWire.capabilities, echo: false },
  offers: { ...onWire.offers, cut: true },
  async peers(): Promise<Peers> {
    const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
    const publisher = createWebSocketServerEventTarget();
    server.on("connection", (socket) => publisher.addConnection(socket));
    await once(server, "listening");
    const socket = await connect(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    const reported: unknown[] = [];
    const onError = (error: unknown) => reported.push(error);
    return {
      publisher: publisher as unknown as Target,
      subscribers: [createWebSocketClientEventTarget(socket, { onError }) as Target],
      reported,
      fault: { cut: () => socket.terminate(), heal: () => undefined },
      dispose() {
        socket.terminate();
        publisher.close();
        for (const client of server.clients) client.terminate();
        server.close();
      },
    };
  },
};
