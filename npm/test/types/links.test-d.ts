// Sockets of every make are taken; events and notices are typed.
import { expectTypeOf, test } from "vitest";
import { WebSocket as WebSocketOfNpm } from "ws";
import { createPubSub } from "../../src/index.js";
import { createSpoke, type SpokeState } from "../../src/spoke.js";
import { createWebSocketClientEventTarget } from "../../src/websocket-client.js";

type Events = { tick: { n: number } };
interface Mapped {
  tick: { n: number };
}

test("sockets of the DOM and of npm ws", () => {
  const targets = [
    createWebSocketClientEventTarget<Events>(new WebSocket("ws://hub.example/")),
    createWebSocketClientEventTarget<Events>(new WebSocketOfNpm("ws://hub.example/")),
    createSpoke<Mapped>("wss://hub.example/", {
      onState: (state) => expectTypeOf(state).toEqualTypeOf<SpokeState>(),
    }),
    createSpoke<Mapped>(new URL("wss://hub.example/")),
    createSpoke<Mapped>(() => new WebSocketOfNpm("ws://hub.example/")),
    createSpoke<Mapped>(async () => new WebSocket("ws://hub.example/")),
  ];
  for (const eventTarget of targets) createPubSub<Events>({ eventTarget }).publish("tick", "1", { n: 1 });
  // @ts-expect-error no socket
  createWebSocketClientEventTarget({});
  // @ts-expect-error no option of a spoke
  createSpoke("ws://hub.example/", { keepEvent: true });
});

test("events and notices", () => {
  const target = createWebSocketClientEventTarget<Events>(new WebSocket("ws://hub.example/"));
  target.addEventListener("tick:1", ({ detail }) =>
    expectTypeOf(detail.payload).toEqualTypeOf<{ n: number }>(),
  );
  target.addEventListener("close", ({ detail }) =>
    expectTypeOf(detail.code).toEqualTypeOf<number | undefined>(),
  );
  target.addEventListener("denied", ({ detail }) =>
    expectTypeOf(detail.action).toEqualTypeOf<"subscribe" | "publish">(),
  );
  // @ts-expect-error neither a topic nor a notice
  target.addEventListener("tick", () => {});
});
