// A connection over iroh in memory, with a wire of the laws at its far side; and a target on it.
import type { Fixture, Peers, RawMessage, Target } from "../../src/conformance/index.js";
import { createWire, type Wire } from "../../src/conformance/index.js";
import { OVER, type RawStream, SAID } from "../../src/iroh/module.js";
import { createSocket } from "../../src/iroh/socket.js";
import { createIrohSpokeEventTarget } from "../../src/iroh/target.js";

const LOST = 0;
type End = ReturnType<RawStream["end"]>;

/** What it sends goes to `wire`; each step takes a turn, as nothing is called back from within a call. */
export class WiredStream implements RawStream {
  #wire: Pick<Wire, "heard" | "ended">;
  #came: Uint8Array[] = [];
  #end: End | undefined;
  #wake: () => void = () => undefined;
  #stalled: Promise<void> | undefined;
  #goesOn: () => void = () => undefined;
  #fails: () => void = () => undefined;
  /** Our half has ended. */
  #hasSaid = false;
  #running = 0;
  freed = 0;
  /** The far side answers last words, with the same code. */
  answers = true;

  constructor(wire: Pick<Wire, "heard" | "ended">) {
    this.#wire = wire;
  }

  async next(): Promise<Uint8Array[]> {
    while (!this.#came.length && !this.#end) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#came.splice(0);
  }

  end(): End {
    return this.#end ?? [OVER, 0, ""];
  }

  /** Until the far side takes it. */
  async #goes(): Promise<void> {
    this.#running++;
    try {
      await this.#stalled;
    } finally {
      this.#running--;
    }
    if (this.#end?.[0] === LOST) throw new Error("connection lost");
  }

  async write(texts: string[]): Promise<void> {
    await this.#goes();
    if (this.#hasSaid) throw new Error("its half has ended");
    for (const text of texts) this.#wire.heard(text);
  }

  async finish(code: number): Promise<void> {
    await this.#goes();
    this.#hasSaid = true;
    this.#wire.ended(code);
    if (this.answers) this.#ends([SAID, code, ""]);
  }

  close(code: number): void {
    this.#wire.ended(code);
    this.#ends([LOST, 0, "closed"]);
    setTimeout(() => this.#fails());
  }

  free(): void {
    if (this.#running) throw new Error("it is still in use");
    this.freed++;
  }

  // ---- the far side

  says(message: RawMessage): void {
    queueMicrotask(() => {
      if (this.#end) return;
      if (typeof message !== "string" && "code" in message) return this.#ends([SAID, message.code, ""]);
      this.#came.push(typeof message === "string" ? new TextEncoder().encode(message) : message.slice());
      this.#wake();
    });
  }

  /** The connection breaks, or ends in another way. */
  cut(end: End = [LOST, 0, "the connection is lost"]): void {
    this.#wire.ended();
    this.#ends(end);
    this.#fails();
  }

  stall(): void {
    this.#stalled ??= new Promise((resolve, reject) => {
      this.#goesOn = resolve;
      this.#fails = () => reject(new Error("connection lost"));
    });
    this.#stalled.catch(() => undefined);
  }

  goesOn(): void {
    this.#goesOn();
    this.#stalled = undefined;
  }

  #ends(end: End): void {
    this.#end ??= end;
    this.#wake();
  }
}

/** One connection of an endpoint to a hub that the laws play. */
export const irohSpokeWire: Fixture = {
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
  async peers(): Promise<Peers> {
    const wire: Wire = createWire("hub", (message) => stream.says(message));
    const stream = new WiredStream(wire);
    const reported: unknown[] = [];
    const near = (await createIrohSpokeEventTarget({
      endpoint: { connect: () => createSocket(Promise.resolve(stream)) },
      hubNodeId: "played by the laws",
      onError: (error) => reported.push(error),
    })) as Target;
    return {
      publisher: wire.target(),
      subscribers: [near],
      reported,
      wire,
      near,
      fault: {
        cut: () => stream.cut(),
        heal: () => undefined,
        stall: () => stream.stall(),
        goOn: () => stream.goesOn(),
      },
      dispose: () => near.close?.(),
    };
  },
};
