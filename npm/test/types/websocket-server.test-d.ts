import { expectTypeOf, test } from "vitest";
import type { WebSocket, WebSocketServer } from "ws";
import { createPubSub } from "../../src/create-pubsub.js";
import {
  createWebSocketServerEventTarget,
  type ServerWebSocketLike,
  type Spoke,
} from "../../src/websocket-server.js";

interface Events {
  "call.requested": { input: number };
  "call.responded": { output: number };
}

test("the sockets of npm ws, of the platform, and those that have no addEventListener", () => {
  const target = createWebSocketServerEventTarget<Events>();
  const server = {} as WebSocketServer;
  server.on("connection", (socket) => {
    expectTypeOf(target.addConnection(socket)).toEqualTypeOf<Spoke<Events> | undefined>();
  });
  target.addConnection({} as globalThis.WebSocket, { identity: "ann" });
  // What Bun's has of it.
  target.addConnection({
    readyState: 1 as 0 | 1 | 2 | 3,
    binaryType: "nodebuffer" as "nodebuffer" | "arraybuffer" | "uint8array" | undefined,
    getBufferedAmount: (): number => 0,
    send: (_: string | BufferSource, _compress?: boolean): number => 1,
    close: (_code?: number, _reason?: string): void => {},
    data: {},
  } as ServerWebSocketLike);
  // @ts-expect-error: it cannot send
  target.addConnection({ readyState: 1, close() {} });
});

test("listeners know who sent it, and what; hooks know the program's socket", () => {
  const target = createWebSocketServerEventTarget<Events, WebSocket>({
    onConnection(spoke, socket) {
      expectTypeOf(socket).toEqualTypeOf<WebSocket>();
      spoke.addEventListener("call.requested:7", ({ detail }) => {
        if (detail.type === "call.requested") expectTypeOf(detail.payload.input).toBeNumber();
      });
    },
    authorise: (_, action) => (action === "subscribe" ? true : "not_allowed"),
  });
  target.addEventListener("call.requested:7", ({ detail, spoke }) => {
    expectTypeOf(spoke).toEqualTypeOf<Spoke<Events> | undefined>();
    expectTypeOf(detail.type).toEqualTypeOf<keyof Events>();
  });
  target.addEventListener("error", ({ detail, spoke }) => {
    expectTypeOf(detail.error).toBeUnknown();
    expectTypeOf(spoke?.identity).toEqualTypeOf<string | undefined>();
  });
  createPubSub<Events>({ eventTarget: target }).publish("call.responded", "7", { output: 1 });
  createWebSocketServerEventTarget({
    // @ts-expect-error: it has to be synchronous
    authorise: async () => true,
  });
  // @ts-expect-error: no such reason
  createWebSocketServerEventTarget({ authorise: () => "because" });
});
