// The raw end of a medium: text in and out, as a peer in another language would write and see it.
import { createListeners } from "../listeners.js";
import type { Capabilities, EventEnvelope } from "../types.js";
import type { Target, TargetEvent } from "./fixture.js";

/** Which end of a link the wire plays: a hub, at which the target under test subscribes, or a spoke of one. */
export type FarSide = "hub" | "spoke";

/** What the wire sends into the medium: a text, bytes, or the medium's own close with a code of the contract's table. */
export type RawMessage = string | Uint8Array | { readonly code: number };

/**
 * The raw end of a medium. A fixture makes one with a function that writes to the connection, and tells it what comes
 * back: `heard` for each message, `ended` at the end. As a hub it answers subscriptions and pings by itself until a law
 * asks it not to.
 */
export interface Wire {
  readonly far: FarSide;
  /** The near end sent this. */
  heard(text: string): void;
  /** The near end closed, or the connection broke. */
  ended(code?: number): void;
  /**
   * An event target on the wire itself: what is dispatched is written to it if, as a hub, it was asked to, and its
   * listeners hear what the near end sends. The scripted opposite of a target under test.
   */
  target(): Target;

  // For laws.

  /** All that was heard so far. */
  readonly texts: readonly string[];
  /** The end of the near end, and its code. */
  readonly end: { readonly code?: number | undefined } | undefined;
  send(message: RawMessage): void;
  /** Whether questions are answered, as a hub. */
  answer(answer: boolean): void;
  /** Resolves when that holds of what was heard; with what it gave. */
  until<T>(look: (texts: readonly string[]) => T | undefined | false): Promise<T>;
}

/** A control event's text. */
export const control = (word: string, payload: unknown): string =>
  JSON.stringify({ type: `__${word}`, id: "", payload });
export const subscribed = (topic: string): string => control("subscribed", { topic });
export const denied = (topic: string, reason: string, action = "subscribe"): string =>
  control("denied", { topic, action, reason });

/** A message as an envelope, as far as it is one. */
export function envelope(text: string): Partial<EventEnvelope> {
  try {
    return Object(JSON.parse(text)) as Partial<EventEnvelope>;
  } catch {
    return {};
  }
}

/** The topic of a control event of that name, if the text is one. */
export function topicOf(word: string, text: string): string | undefined {
  const { type, payload } = envelope(text);
  const { topic } = Object(payload) as { topic?: unknown };
  return type === `__${word}` && typeof topic === "string" ? topic : undefined;
}

const capabilities: Capabilities = {
  echo: false,
  order: "connection",
  carries: "json",
  lifetime: "connection",
  confirms: false,
};

/** A wire that plays `far` and writes with `send`; what is sent has to arrive in later turns. */
export function createWire(far: FarSide, send: (message: RawMessage) => void): Wire {
  const texts: string[] = [];
  const topics = new Set<string>();
  const listeners = createListeners(undefined);
  let silent = false;
  let end: { readonly code?: number | undefined } | undefined;
  let waiting: (() => boolean)[] = [];
  const changed = () => {
    waiting = waiting.filter((holds) => !holds());
  };

  const answer = (text: string) => {
    const { type, payload } = envelope(text);
    const asked = topicOf("subscribe", text);
    const left = topicOf("unsubscribe", text);
    if (left !== undefined) topics.delete(left);
    if (silent) return;
    if (asked !== undefined) {
      topics.add(asked);
      send(subscribed(asked));
    } else if (type === "__ping") send(control("pong", { echo: payload, protocol: 1, features: [] }));
  };

  const target: Target = {
    capabilities,
    addEventListener: (name, callback, options) => void listeners.add(name, callback as never, options),
    removeEventListener: (name, callback) => listeners.remove(name, callback as never),
    dispatchEvent({ type, detail }: TargetEvent) {
      const { type: of, id } = detail as EventEnvelope;
      if (!of || of.startsWith("__")) throw new Error(`${of} is reserved`);
      const text = JSON.stringify(detail);
      if (far === "spoke" || topics.has(`${of}:${id}`)) send(text);
      return type !== "";
    },
  };

  return {
    far,
    texts,
    get end() {
      return end;
    },
    heard(text) {
      texts.push(text);
      if (far === "hub") answer(text);
      changed();
      const { type, id, payload } = envelope(text);
      if (type === undefined || type.startsWith("__")) return;
      listeners.dispatch({ type: `${type}:${id}`, detail: { type, id, payload } } as never, target);
    },
    ended(code) {
      end ??= { code };
      topics.clear();
      changed();
    },
    target: () => target,
    send,
    answer(answers) {
      silent = !answers;
    },
    until(look) {
      return new Promise((resolve) => {
        const holds = () => {
          const found = look(texts);
          if (found === undefined || found === false) return false;
          resolve(found);
          return true;
        };
        waiting.push(holds);
        changed();
      });
    },
  };
}
