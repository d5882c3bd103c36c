// Two ends of a link that carries JSON text, in one memory: what one says the other hears, in a later turn.
import { PubSubError } from "../../errors.js";
import type { Capabilities } from "../../types.js";
import type { Fixture, Target, TargetEvent } from "../fixture.js";
import { createMemory } from "./memory.js";

/** What such a link can do wrong, and the laws that see it. */
export const linkFlaws = {
  SwallowsUnencodable: ["sends nothing, and says nothing, where a payload is no JSON", "round_trip_encode"],
  WritesStrings: ["writes payloads by way of a string", "round_trip"],
  CutNotTold: ["does not tell that its connection was cut", "connection_loss"],
  CutToldTwice: ["tells twice that its connection was cut", "connection_loss"],
  CutIsClose: ["takes a cut connection for a close of its own", "connection_loss"],
  TakesAfterCut: ["takes events when its connection is gone", "connection_loss"],
} as const satisfies Record<string, readonly [string, ...string[]]>;

export type LinkFlaw = keyof typeof linkFlaws;

const capabilities: Capabilities = {
  echo: false,
  order: "connection",
  carries: "json",
  lifetime: "connection",
  confirms: true,
};

/** One end: what the program hears is `near`'s, what it says goes into `wire`. */
function createEnd(near: Target, wire: (text: string) => void, flaw: LinkFlaw | undefined) {
  let closed = false;
  let cut = false;
  const end = {
    ...near,
    capabilities,
    dispatchEvent({ detail }: TargetEvent) {
      if (closed) throw new PubSubError("closed", "the target is closed");
      if (cut) return flaw === "TakesAfterCut";
      let text: string;
      try {
        text = JSON.stringify(detail);
      } catch (error) {
        if (flaw === "SwallowsUnencodable") return true;
        throw error;
      }
      if (flaw === "WritesStrings") {
        const { payload, ...rest } = detail as { payload?: unknown };
        text = JSON.stringify({ ...rest, payload: payload === undefined ? undefined : String(payload) });
      }
      queueMicrotask(() => wire(text));
      return true;
    },
    close() {
      closed = true;
      near.close?.();
    },
    /** The connection is gone: the end of this target. */
    cut() {
      if (flaw === "CutNotTold") return;
      cut = true;
      if (flaw === "CutIsClose") end.close();
      else near.close?.();
    },
  };
  return end;
}

/** A publisher at one end, a subscriber at the other. */
export function link(flaw?: LinkFlaw): Fixture {
  return {
    capabilities,
    offers: { reports: true, close: true, cut: true },
    deadline: flaw === undefined ? 5_000 : 300,
    peers() {
      const reported: unknown[] = [];
      const twice = flaw === "CutToldTwice" ? "CloseToldTwice" : undefined;
      const [here, there] = [createMemory(twice, reported), createMemory(undefined, [])];
      let whole = true;
      const to = (memory: Target) => (text: string) => {
        const detail = JSON.parse(text) as { type: string; id: string };
        if (whole) memory.dispatchEvent({ type: `${detail.type}:${detail.id}`, detail } as never);
      };
      const end = createEnd(here, to(there), flaw);
      const subscriber: Target = {
        ...end,
        close() {
          whole = false;
          end.close();
        },
      };
      const fault = {
        cut() {
          whole = false;
          end.cut();
        },
        heal() {},
      };
      return { publisher: createEnd(there, to(here), flaw), subscribers: [subscriber], reported, fault };
    },
  };
}
