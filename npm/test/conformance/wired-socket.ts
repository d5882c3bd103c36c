// A WebSocket in memory that a wire of the laws is at the far side of.
import { createWire, type FarSide, type RawMessage, type Wire } from "../../src/conformance/index.js";

const [CONNECTING, OPEN, CLOSING, CLOSED] = [0, 1, 2, 3];

/**
 * States, events, `bufferedAmount` and codes are as in the WHATWG's standard, with a task for each message: nothing is
 * called from within `send` or `close`. What it sends goes to `wire`.
 */
export class WiredSocket extends EventTarget {
  readyState = CONNECTING;
  bufferedAmount = 0;
  binaryType = "blob";
  #wire: Pick<Wire, "heard" | "ended">;
  #stalled: (() => void)[] | undefined;

  constructor(wire: Pick<Wire, "heard" | "ended">) {
    super();
    this.#wire = wire;
  }

  send(text: string): void {
    if (this.readyState === CONNECTING) throw new DOMException("still connecting", "InvalidStateError");
    const bytes = new TextEncoder().encode(text).length;
    this.bufferedAmount += bytes;
    if (this.readyState !== OPEN) return;
    this.#outward(() => {
      if (this.readyState === CLOSED) return;
      this.bufferedAmount -= bytes;
      this.#wire.heard(text);
    });
  }

  /** As a browser: no code below 3000 but 1000. */
  close(code?: number, reason = ""): void {
    if (code !== undefined && code !== 1000 && (code < 3000 || code > 4999)) {
      throw new DOMException(`${code} may not be sent`, "InvalidAccessError");
    }
    if (new TextEncoder().encode(reason).length > 123) throw new DOMException("too long", "SyntaxError");
    if (this.readyState >= CLOSING) return;
    this.readyState = CLOSING;
    // Behind what was sent before; then comes the far side's answer.
    this.#outward(() => {
      if (this.readyState === CLOSED) return;
      this.#wire.ended(code ?? 1005);
      this.#inward(() => this.#over(code ?? 1005, reason, true));
    });
  }

  // ---- the far side

  opens(): void {
    this.#inward(() => {
      if (this.readyState !== CONNECTING) return;
      this.readyState = OPEN;
      this.dispatchEvent(new Event("open"));
    });
  }

  says(message: RawMessage): void {
    this.#inward(() => {
      if (this.readyState !== OPEN) return;
      if (typeof message !== "string" && "code" in message) {
        const { code } = message;
        this.readyState = CLOSING;
        this.#outward(() => {
          this.#wire.ended(code);
          this.#over(code, "", true);
        });
        return;
      }
      const binary = () =>
        this.binaryType === "blob"
          ? new Blob([message as never])
          : Uint8Array.from(message as Uint8Array).buffer;
      const data = typeof message === "string" ? message : binary();
      this.dispatchEvent(new MessageEvent("message", { data }));
    });
  }

  /** The connection breaks. */
  cut(): void {
    if (this.readyState === CLOSED) return;
    this.#wire.ended();
    this.dispatchEvent(new Event("error"));
    this.#over(1006, "", false);
  }

  stall(): void {
    this.#stalled ??= [];
  }

  goesOn(): void {
    const waiting = this.#stalled ?? [];
    this.#stalled = undefined;
    for (const task of waiting) this.#outward(task);
  }

  #over(code: number, reason: string, wasClean: boolean): void {
    if (this.readyState === CLOSED) return;
    this.readyState = CLOSED;
    this.dispatchEvent(Object.assign(new Event("close"), { code, reason, wasClean }));
  }

  #inward(task: () => void): void {
    queueMicrotask(task);
  }

  #outward(task: () => void): void {
    if (this.#stalled) this.#stalled.push(task);
    else queueMicrotask(task);
  }
}

/** What lies between a socket and its far side, and may do wrong: each message goes on by being given to `on`. */
export interface Way {
  /** To the far side. */
  out?(text: string, on: (text: string) => void): void;
  /** From it. */
  in?(message: RawMessage, on: (message: RawMessage) => void): void;
}

/** A wire, and sockets that go to it by that way: the last one made is what it writes to. */
export function wired(
  far: FarSide,
  way: Way = {},
): { readonly socket: () => WiredSocket; readonly wire: Wire } {
  let socket: WiredSocket | undefined;
  const says = (message: RawMessage) => socket?.says(message);
  const wire = createWire(far, (message) => (way.in ? way.in(message, says) : says(message)));
  const heard = (text: string) => (way.out ? way.out(text, wire.heard) : wire.heard(text));
  return {
    wire,
    socket() {
      socket = new WiredSocket({ heard, ended: wire.ended });
      return socket;
    },
  };
}
