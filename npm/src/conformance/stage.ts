// What laws are written with: listeners that write down what they hear, fences, a deadline.
import { createPubSub } from "../create-pubsub.js";
import type { PubSub } from "../types.js";
import type { Fixture, Peers, Target, TargetEvent } from "./fixture.js";
import { Violation } from "./law.js";

/** The events of the suite: types are made up as it goes, payloads are what the law needs. */
export type AnyEvents = Record<string, unknown>;

/** The payload of the event that ends a series: what was before it has come when it has come. */
export const FENCE = 999_999;

/** One call of a listener. */
export interface Call {
  readonly by: number;
  readonly event: TargetEvent;
}

/** A law's peers, and what it does with them. */
export interface Stage {
  readonly fixture: Fixture;
  readonly peers: Peers;
  readonly publisher: Target;
  readonly subscriber: Target;
  /** The pubsub of that target, under test like it. */
  pubsub(target: Target): PubSub<AnyEvents>;
  /** Adds a listener and waits until it is in place. */
  listen(
    target: Target,
    topic: string,
    listener: Parameters<Target["addEventListener"]>[1],
    options?: Parameters<Target["addEventListener"]>[2],
  ): Promise<void>;
  /** Publishes these payloads, one event each. */
  publish(target: Target, type: string, id: string, ...payloads: readonly unknown[]): void;
  /** Waits; if it takes beyond the deadline, the law fails in these words. */
  wait<T>(what: string, promise: PromiseLike<T>): Promise<T>;
  /** Waits for what no event tells of, by asking again and again. */
  comesTrue(what: string, look: () => boolean): Promise<void>;
  log(): Log;
}

/** Writes down calls. */
export interface Log {
  readonly calls: readonly Call[];
  /** A listener of its own, which writes under that mark. */
  listener(by: number): (event: TargetEvent) => void;
  write(by: number, event: TargetEvent): void;
  /** The payloads under that mark, so far. */
  payloads(by: number): unknown[];
  until(what: string, holds: (calls: readonly Call[]) => boolean): Promise<void>;
  /** The payloads under that mark, as soon as so many fences are among them. */
  toFence(by: number, fences?: number): Promise<unknown[]>;
}

let made = 0;
/** A word that no other law, and no other run on a shared medium, uses. */
export function unique(word: string): string {
  made += 1;
  return `${word}-${Math.random().toString(36).slice(2)}-${made}`;
}

export function payloadOf(event: TargetEvent): unknown {
  return (event.detail as { payload?: unknown } | null | undefined)?.payload;
}

/** Ends the law with a violation unless it holds. */
export function ensure(holds: boolean, words: string): void {
  if (!holds) throw new Violation(words);
}

/** Ends the law with a violation unless the two are equal, as JSON compares them; `undefined` is not `null`. */
export function ensureEqual(found: unknown, wanted: unknown, words: string): void {
  if (!equal(found, wanted)) throw new Violation(`${words}: ${show(found)} instead of ${show(wanted)}`);
}

function equal(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  return keys.every((key) => {
    const at = key as never;
    return key in b && equal(a[at], b[at]);
  });
}

/** A value in few words. */
export function show(value: unknown, depth = 3): string {
  const inner = (of: unknown) => show(of, depth - 1);
  if (typeof value === "string") return JSON.stringify(value);
  if (value instanceof Error) return `${value.name}: ${value.message}`;
  // No further, for what holds itself.
  if (depth === 0 && typeof value === "object" && value !== null) return "…";
  if (Array.isArray(value)) {
    const items = value.map(inner);
    return items.length > 40
      ? `[${items.slice(0, 40).join(", ")}, … ${items.length} in all]`
      : `[${items.join(", ")}]`;
  }
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value).map(([key, of]) => `${key}: ${inner(of)}`);
    return `{ ${members.join(", ")} }`;
  }
  return String(value);
}

/** Makes a law's `run` of its body: peers before it, a deadline around it, cleaning up behind it. */
export function staged(body: (stage: Stage) => Promise<void>): (fixture: Fixture) => Promise<void> {
  return async (fixture) => {
    const milliseconds = fixture.deadline ?? 5_000;
    let waitingFor = "the fixture's peers";
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new Violation(`within ${milliseconds} ms did not come: ${waitingFor}`));
      }, milliseconds);
    });
    let peers: Peers | undefined;
    const law = async () => {
      peers = await fixture.peers();
      await body(stage(fixture, peers, (what) => (waitingFor = what)));
    };
    try {
      await Promise.race([law(), late]);
    } finally {
      clearTimeout(timer);
      await peers?.dispose?.();
    }
  };
}

function stage(fixture: Fixture, peers: Peers, waitsFor: (what: string) => void): Stage {
  const pubsubs = new Map<Target, PubSub<AnyEvents>>();
  const pubsub = (target: Target) => {
    const known = pubsubs.get(target);
    if (known !== undefined) return known;
    const create = fixture.createPubSub ?? createPubSub;
    const made = create<AnyEvents>({ eventTarget: target as never });
    pubsubs.set(target, made);
    return made;
  };
  const wait = <T>(what: string, promise: PromiseLike<T>) => {
    waitsFor(what);
    return Promise.resolve(promise);
  };
  return {
    fixture,
    peers,
    publisher: peers.publisher,
    subscriber: peers.subscribers[0],
    pubsub,
    wait,
    async listen(target, topic, listener, options) {
      if (options === undefined) target.addEventListener(topic, listener);
      else target.addEventListener(topic, listener, options);
      await wait(
        `the listener of ${topic} to be in place`,
        Promise.resolve(fixture.inPlace?.(target, topic)),
      );
    },
    publish(target, type, id, ...payloads) {
      for (const payload of payloads) {
        const taken: unknown = pubsub(target).publish(type, id, payload);
        if (taken === false) ensure(false, `publish of ${show(payload)} on ${type}:${id} was not taken`);
      }
    },
    async comesTrue(what, look) {
      waitsFor(what);
      while (!look()) await new Promise<void>((resolve) => setTimeout(resolve, 1));
    },
    log: () => createLog(wait),
  };
}

function createLog(wait: Stage["wait"]): Log {
  const calls: Call[] = [];
  let waiting: { holds: (calls: readonly Call[]) => boolean; resolve: () => void }[] = [];
  const write = (by: number, event: TargetEvent) => {
    calls.push({ by, event });
    waiting = waiting.filter(({ holds, resolve }) => {
      if (!holds(calls)) return true;
      resolve();
      return false;
    });
  };
  const payloads = (by: number) =>
    calls.filter((call) => call.by === by).map(({ event }) => payloadOf(event));
  const until: Log["until"] = async (what, holds) => {
    if (holds(calls)) return;
    await wait(what, new Promise<void>((resolve) => waiting.push({ holds, resolve })));
  };
  return {
    calls,
    write,
    listener: (by) => (event) => write(by, event),
    payloads,
    until,
    async toFence(by, fences = 1) {
      const count = () => payloads(by).filter((payload) => payload === FENCE).length;
      await until(
        `${FENCE}, which the law publishes last, ${fences} times at the listener ${by}`,
        () => count() >= fences,
      );
      return payloads(by);
    },
  };
}
