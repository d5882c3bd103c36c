// What both ends of a WebSocket need.

export const CONNECTING = 0;
export const OPEN = 1;

/** A reason may have 123 bytes, and some let no program send codes below 3000 but 1000: those get 4013 for 1013. */
export function closeWith(
  socket: { close(code?: number, reason?: string): void },
  code: number,
  reason = "",
): void {
  const short = reason.slice(0, 40);
  try {
    socket.close(code, short);
  } catch {
    socket.close(code + 3000, short);
  }
}
