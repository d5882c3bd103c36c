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
}

/** Listens to a socket, beside those who do so already. Gives what takes it off again, and `binaryType` back. */
export function listenTo(socket: WebSocketLike, handlers: SocketHandlers): () => void {
  const { binaryType } = socket;
  let error = "";
  const listeners: Record<string, (event: never) => void> = {
    open: handlers.open,
    message: ({ data }: { data: unknown }) => handlers.message(data),
    error: ({ message }: { message?: unknown }) => {
      error = String(message || "");
    },
    close: ({ code, reason }: { code?: number; reason?: unknown }) =>
      handlers.close(String(reason || error || "the connection is closed"), code),
  };
  for (const name in listeners) socket.addEventListener(name as never, listeners[name] as never);
  if (binaryType !== undefined) socket.binaryType = "arraybuffer";
  return () => {
    for (const name in listeners) socket.removeEventListener(name as never, listeners[name] as never);
    if (binaryType !== undefined) socket.binaryType = binaryType;
  };
}

/** A reason may have 123 bytes, and a browser lets no program send codes below 3000 but 1000. */
export function closeWith(socket: WebSocketLike, code: number, reason = ""): void {
  const short = reason.slice(0, 40);
  try {
    socket.close(code, short);
  } catch {
    socket.close(code + 3000, short);
  }
}
