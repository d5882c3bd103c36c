// Targets whose far side the laws play: in one memory, on sockets as the standard has them.
import { once } from "node:events";
import { createWire, type Fixture, type Peers, type Target } from "../../src/conformance/index.js";
import { createSpoke } from "../../src/spoke.js";
import { createWebSocketClientEventTarget } from "../../src/websocket-client.js";
import { createWebSocketServerEventTarget } from "../../src/websocket-server.js";
import { WiredSocket, wired } from "./wired-socket.js";

const atHub: Fixture = {
  capabilities: { echo: false, order: "connection", carries: "json", lifetime: "connection", confirms: true },
  offers: { reports: true, close: true, cut: true, stall: true, wire: "hub", near: true, hangUp: true, stats: true },
  async inPlace(target, topic) {
    await target.ready?.(topic);
  },
  peers: () => Promise.reject(new Error("a fixture of its own says which")),
};

/** The target of a socket that is open, and stays the caller's. */
export const websocketClientWire: Fixture = {
  ...atHub,
  offers: { ...atHub.offers, lent: true },
  async peers(): Promise<Peers> {
    const { socket, wire } = wired("hub");
    const opened = once(socket, "open");
    socket.opens();
    await opened;
    const reported: unknown[] = [];
    const near = createWebSocketClientEventTarget(socket, { onError: (error) => reported.push(error) }) as Target;
    return {
      publisher: wire.target(),
      subscribers: [near],
      reported,
      wire,
      near,
      fault: {
        cut: () => socket.cut(),
        heal: () => undefined,
        stall: () => socket.stall(),
        goOn: () => socket.goesOn(),
      },
      lent: {
        async useAgain() {
          if (socket.readyState !== 1) throw new Error(`its state is ${socket.readyState}`);
          if (socket.binaryType !== "blob") throw new Error(`its binaryType is ${socket.binaryType}`);
          socket.send("mine");
          await wire.until((texts) => texts.includes("mine"));
          const message = once(socket, "message");
          wire.send("yours");
          const [{ data }] = (await message) as [{ data: unknown }];
          if (data !== "yours") throw new Error(`it gave ${String(data)}`);
        },
      },
    };
  },
};

/** The target that outlives its connections. */
export const spokeWire: Fixture = {
  ...atHub,
  capabilities: { ...atHub.capabilities, lifetime: "outlives" },
  async peers(): Promise<Peers> {
    let isDown = false;
    let socket: WiredSocket | undefined;
    const wire = createWire("hub", (message) => socket?.says(message));
    const reported: unknown[] = [];
    const near = await new Promise<ReturnType<typeof createSpoke>>((resolve) => {
      const made = createSpoke(
        () => {
          const next = new WiredSocket(wire);
          socket = next;
          if (isDown) queueMicrotask(() => next.cut());
          else next.opens();
          return next;
        },
        {
          onError: (error) => reported.push(error),
          onState({ status }) {
            if (status === "connected") queueMicrotask(() => resolve(made));
          },
          backoff: { first: 1, max: 1, later: 1 },
        },
      );
    });
    return {
      publisher: wire.target(),
      subscribers: [near as Target],
      reported,
      wire,
      near: near as Target,
      fault: {
        cut() {
          isDown = true;
          socket?.cut();
        },
        heal() {
          isDown = false;
        },
        stall: () => socket?.stall(),
        goOn: () => socket?.goesOn(),
      },
      dispose: () => near.close(),
    };
  },
};

/** A hub of ours; the laws are its spoke. */
export const websocketServerWire: Fixture = {
  capabilities: { echo: false, order: "connection", carries: "json", lifetime: "outlives", confirms: true },
  offers: { reports: true, close: true, stall: true, wire: "spoke", near: true, hangUp: true, lent: true, stats: true },
  async peers(): Promise<Peers> {
    const { socket, wire } = wired("spoke");
    const opened = once(socket, "open");
    socket.opens();
    await opened;
    const reported: unknown[] = [];
    const hub = createWebSocketServerEventTarget({ onError: (error) => reported.push(error) });
    hub.addConnection(socket);
    const near = hub as unknown as Target;
    return {
      publisher: wire.target(),
      subscribers: [near],
      reported,
      wire,
      near,
      fault: {
        cut: () => socket.cut(),
        heal: () => undefined,
        stall: () => socket.stall(),
        goOn: () => socket.goesOn(),
      },
      lent: {
        async useAgain() {
          if (socket.readyState !== 1) throw new Error(`its state is ${socket.readyState}`);
          if (socket.binaryType !== "blob") throw new Error(`its binaryType is ${socket.binaryType}`);
          socket.send("mine");
          await wire.until((texts) => texts.includes("mine"));
        },
      },
    };
  },
};
