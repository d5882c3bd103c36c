import type { WebSocketLike } from "../link/socket.js";

/** What makes WebSockets: the runtime's own, or that of npm `ws`. */
export type WebSocketClass = new (...args: never[]) => WebSocketLike;

/**
 * Makes the same sockets, whose messages wait until somebody listens. The module listens some turns after it was told
 * that a socket is open, as it may by the standard; by then Deno and npm `ws` have told the relay's first message.
 */
export const patient = (WebSocket: WebSocketClass): WebSocketClass =>
  class {
    constructor(...args: never[]) {
      const socket = new WebSocket(...args);
      // Messages that come before it is set by who listens are its as well.
      socket.binaryType = "arraybuffer";
      let listener: ((event: unknown) => void) | null = null;
      let early: unknown[] | undefined = [];
      const tell = (event: unknown) => {
        if (early) early.push(event);
        else listener?.(event);
      };
      socket.addEventListener("message" as never, tell as never);
      Object.defineProperty(socket, "onmessage", {
        get: () => listener,
        set(next: typeof listener) {
          listener = next;
          // Not before who sets it is done with that.
          queueMicrotask(() => {
            const waiting = early ?? [];
            early = undefined;
            for (const event of waiting) tell(event);
          });
        },
      });
      // biome-ignore lint/correctness/noConstructorReturn: it is the socket that was asked for.
      return socket;
    }
  } as unknown as WebSocketClass;
