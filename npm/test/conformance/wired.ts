// Targets whose far side the laws play: in one memory, on sockets as the standard has them.
import { once } from "node:events";
import type { Fixture, Peers, Target } from "../../src/conformance/index.js";
import { createSpoke } from "../../src/spoke.js";
import { createWebSocketClientEventTarget } from "../../src/websocket-client.js";
import { createWebSocketServerEventTarget } from "../../src/websocket-server.js";
import { type Way, type WiredSocket, wired } from "./wired-socket.js";

/** What makes such a target a wrong one: its way to the far side, or something around it. */
export interface Wrongs extends Way {
  /** In place of the target. */
  target?(sound: Target, socket: WiredSocket | undefined): Target;
  /** Done to its socket. */
  socket?(sound: WiredSocket): void;
}

const atHub: Fixture = {
  capabilities: { echo: false, order: "connection", carries: "json", lifetime: "connection", confirms: true },
  offers: {
    reports: true,
    close: true,
    cut: true,
    stall: true,
    wire: "hub",
    near: true,
    hangUp: true,
    stats: true,
  },
  async inPlace(target, topic) {
    await target.ready?.(topic);
  },
  peers: () => Promise.reject(new Error("a fixture of its own says which")),
};

/** The target of a socket that is open, and stays the caller's. */
export const websocketClientWire = (wrongs: Wrongs = {}): Fixture => ({
  ...atHub,
  offers: { ...atHub.offers, lent: true },
  async peers(): Promise<Peers> {
    const { socket: connect, wire } = wired("hub", wrongs);
    const socket = connect();
    wrongs.socket?.(socket);
    const opened = once(socket, "open");
    socket.opens();
    await opened;
    const reported: unknown[] = [];
    const sound = createWebSocketClientEventTarget(socket, {
      onError: (error) => reported.push(error),
    }) as Target;
    const near = wrongs.target?.(sound, socket) ?? sound;
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
});

/** The target that outlives its connections. */
export const spokeWire = (wrongs: Wrongs = {}): Fixture => ({
  ...atHub,
  capabilities: { ...atHub.capabilities, lifetime: "outlives" },
  async peers(): Promise<Peers> {
    let isDown = false;
    let socket: WiredSocket | undefined;
    const { socket: connect, wire } = wired("hub", wrongs);
    const reported: unknown[] = [];
    const sound = await new Promise<ReturnType<typeof createSpoke>>((resolve) => {
      const made = createSpoke(
        () => {
          const next = connect();
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
    const near = wrongs.target?.(sound as Target, undefined) ?? (sound as Target);
    return {
      publisher: wire.target(),
      subscribers: [near],
      reported,
      wire,
      near,
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
      dispose: () => sound.close(),
    };
  },
});

/** A hub of ours; the laws are its spoke. */
export const websocketServerWire = (wrongs: Wrongs = {}): Fixture => ({
  capabilities: { echo: false, order: "connection", carries: "json", lifetime: "outlives", confirms: true },
  offers: {
    reports: true,
    close: true,
    stall: true,
    wire: "spoke",
    near: true,
    hangUp: true,
    lent: true,
    stats: true,
  },
  async peers(): Promise<Peers> {
    const { socket: connect, wire } = wired("spoke", wrongs);
    const socket = connect();
    wrongs.socket?.(socket);
    const opened = once(socket, "open");
    socket.opens();
    await opened;
    const reported: unknown[] = [];
    const hub = createWebSocketServerEventTarget({ onError: (error) => reported.push(error) });
    hub.addConnection(socket);
    const sound = hub as unknown as Target;
    const near = wrongs.target?.(sound, socket) ?? sound;
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
});
