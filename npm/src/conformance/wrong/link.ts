// Two ends of a link that carries JSON text, in one memory: what one says the other hears, in a later turn.
import type { Capabilities } from "../../types.js";
import type { Fixture, Target, TargetEvent } from "../fixture.js";
import { createMemory } from "./memory.js";

/** What such a link can do wrong, and the laws that see it. */
export const linkFlaws = {
  SwallowsUnencodable: ["sends nothing, and says nothing, where a payload is no JSON", "round_trip_encode"],
  ListsForNumbers: ["writes payloads by way of a string", "round_trip"],
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
function createEnd(near: Target, wire: (text: string) => void, flaw: LinkFlaw | undefined): Target {
  const end: Target = Object.create(near);
  Object.defineProperty(end, "capabilities", { value: capabilities });
  let closed = false;
  end.dispatchEvent = ({ detail }: TargetEvent) => {
    if (closed) throw new Error("the target is closed");
    let text: string;
    try {
      text = JSON.stringify(detail);
    } catch (error) {
      if (flaw === "SwallowsUnencodable") return true;
      throw error;
    }
    if (flaw === "ListsForNumbers") {
      const { payload, ...rest } = detail as { payload?: unknown };
      text = JSON.stringify({ ...rest, payload: payload === undefined ? undefined : String(payload) });
    }
    queueMicrotask(() => wire(text));
    return true;
  };
  end.close = () => {
    closed = true;
    near.close?.();
  };
  return end;
}

/** A publisher at one end, a subscriber at the other. */
export function link(flaw?: LinkFlaw): Fixture {
  return {
    capabilities,
    offers: { reports: true, close: true },
    deadline: flaw === undefined ? 5_000 : 300,
    peers() {
      const reported: unknown[] = [];
      const [here, there] = [createMemory(undefined, reported), createMemory(undefined, [])];
      let ended = false;
      const to = (memory: Target) => (text: string) => {
        const detail = JSON.parse(text) as { type: string; id: string };
        if (!ended) memory.dispatchEvent({ type: `${detail.type}:${detail.id}`, detail } as never);
      };
      const subscriber = createEnd(here, to(there), flaw);
      const publisher = createEnd(there, to(here), flaw);
      const close = subscriber.close;
      subscriber.close = () => {
        ended = true;
        close?.();
      };
      return { publisher, subscribers: [subscriber], reported };
    },
  };
}
