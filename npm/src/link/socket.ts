/** What is needed of a WebSocket: that of a browser, Node, Deno, Bun, of npm `ws`, or one of your own. */
export interface WebSocketLike {
  readonly readyState: number;
  readonly bufferedAmount?: number;
  binaryType?: string;
  send(data: string): void;
  close(code?: number, reason?: string): void;
  /** That of the DOM. Its parameters are not named, since every make of socket types them in its own way. */
  addEventListener(...args: never[]): void;
  removeEventListener(...args: never[]): void;
}

export const CONNECTING = 0;
export const OPEN = 1;

/** What is heard of a socket. */
export interface SocketHandlers {
  open(): void;
  message(data: unknown): void;
  /** It is closed. An error that was told before has its words, where it has some. */
  close(reason: string, code: number | undefined): void;
  /** It has failed, and is about to be closed. */
  error?(error: unknown): void;
}

/**
 * Listens to a socket, beside those who do so already. Gives what takes it off again, and `binaryType` back. A listener of
 * errors is left behind where the socket is about to be closed: with npm `ws` one that nobody hears ends the process, and a
 * peer that is closed for what it sent may go on with it.
 */
export function listenTo(socket: WebSocketLike, handlers: SocketHandlers): (isBeingClosed?: boolean) => void {
  const { binaryType } = socket;
  let error = "";
  const listeners: Record<string, (event: never) => void> = {
    open: handlers.open,
    message: ({ data }: { data: unknown }) => handlers.message(data),
    error: ({ message, error: thrown }: { message?: unknown; error?: unknown }) => {
      error = String(message || "");
      handlers.error?.(thrown ?? new Error(error || "the socket failed"));
    },
    close: ({ code, reason }: { code?: number; reason?: unknown }) =>
      handlers.close(String(reason || error || "the connection is closed"), code),
  };
  for (const name in listeners) socket.addEventListener(name as never, listeners[name] as never);
  if (binaryType !== undefined) socket.binaryType = "arraybuffer";
  return (isBeingClosed = false) => {
    for (const name in listeners) {
      if (isBeingClosed && name === "error") continue;
      socket.removeEventListener(name as never, listeners[name] as never);
    }
    if (binaryType !== undefined) socket.binaryType = binaryType;
  };
}

/** A reason may have 123 bytes, and a browser lets no program send codes below 3000 but 1000. */
export function closeWith(socket: Pick<WebSocketLike, "close">, code: number, reason = ""): void {
  const short = reason.slice(0, 40);
  try {
    socket.close(code, short);
  } catch {
    socket.close(code + 3000, short);
  }
}
