/** A WebSocket in memory, whose far side a test plays: states, events and codes as in the WHATWG's standard. */
export class MemorySocket extends EventTarget {
  readyState: number;
  bufferedAmount = 0;
  binaryType = "blob";
  /** What was sent. */
  readonly sent: string[] = [];
  /** How it was closed, if the program did it. */
  closed: { code: number | undefined; reason: string | undefined } | undefined;

  constructor(readyState = 1) {
    super();
    this.readyState = readyState;
  }

  send(text: string): void {
    if (this.readyState === 0) throw new DOMException("still connecting", "InvalidStateError");
    if (this.readyState === 1) this.sent.push(text);
  }

  /** As a browser: no code below 3000 but 1000. */
  close(code?: number, reason?: string): void {
    if (code !== undefined && code !== 1000 && (code < 3000 || code > 4999)) {
      throw new DOMException(`${code} may not be sent`, "InvalidAccessError");
    }
    if (new TextEncoder().encode(reason ?? "").length > 123)
      throw new DOMException("too long", "SyntaxError");
    this.closed ??= { code, reason };
    this.readyState = 2;
  }

  // ---- the far side

  opens(): void {
    this.readyState = 1;
    this.dispatchEvent(new Event("open"));
  }

  says(data: unknown): void {
    const message = typeof data === "string" || data instanceof ArrayBuffer ? data : JSON.stringify(data);
    this.dispatchEvent(new MessageEvent("message", { data: message }));
  }

  /** A control event. */
  tells(name: string, payload: object): void {
    this.says({ type: `__${name}`, id: "", payload });
  }

  ends(code: number, reason = ""): void {
    this.readyState = 3;
    this.dispatchEvent(Object.assign(new Event("close"), { code, reason, wasClean: true }));
  }

  /** What was sent, read, and forgotten. */
  takes(): unknown[] {
    return this.sent.splice(0).map((text) => JSON.parse(text));
  }
}

/** The control event that asks for a topic, or takes that back. */
export const asks = (topic: string) => ({ type: "__subscribe", id: "", payload: { topic } });
export const leaves = (topic: string) => ({ type: "__unsubscribe", id: "", payload: { topic } });
