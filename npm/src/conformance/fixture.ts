import type { createPubSub } from "../create-pubsub.js";
import type { Capabilities, Readiness } from "../types.js";
import type { FarSide, Wire } from "./wire.js";

/** What a listener of the suite is called with: the name it was added under, and the envelope. */
export interface TargetEvent {
  readonly type: string;
  readonly detail?: unknown;
}

/** A listener as `addEventListener` takes it. */
export type TargetListener = ((event: TargetEvent) => void) | { handleEvent: (event: TargetEvent) => void };

/** What the suite needs of a target: an `EventTarget` of any make has the three methods. */
export interface Target {
  readonly capabilities?: Capabilities;
  addEventListener(
    type: string,
    listener: TargetListener | null,
    options?: { once?: boolean; signal?: AbortSignal; passive?: boolean } | boolean,
  ): void;
  removeEventListener(type: string, listener: TargetListener | null): void;
  dispatchEvent(event: never): boolean;
  /** Resolves when the far side has answered for this topic, which has a listener. */
  ready?(topic: string): Promise<Readiness>;
  /** Ends the target; calling it again does nothing. */
  close?(): void;
  /** All counters. */
  stats?(): { readonly [counter: string]: number };
}

/** What the laws may do beside publishing and listening. Nothing, unless the fixture says so. */
export interface Offers {
  /** `Peers.reported` lists what listeners threw. */
  readonly reports?: boolean;
  /** The target has `close`. */
  readonly close?: boolean;
  /** `Peers.fault` is there, and cuts and heals. */
  readonly cut?: boolean;
  /** `Peers.fault` is there, and stalls and goes on. */
  readonly stall?: boolean;
  /** `Peers.wire` is there, and plays this end. */
  readonly wire?: FarSide;
  /** The target at the wire's near end is `Peers.near`. */
  readonly near?: boolean;
  /** The wire can end the connection in good order, with a code. */
  readonly hangUp?: boolean;
  /** `Peers.lent` is there: the first subscriber was given what stays the caller's. */
  readonly lent?: boolean;
  /** The target has `stats`, with the counters that all targets of this package share. */
  readonly stats?: boolean;
}

/** Breaks a connection, as networks do. */
export interface Fault {
  /** Breaks the connection of the first subscriber without a word. */
  cut(): void | Promise<void>;
  /** Lets it connect again. */
  heal(): void | Promise<void>;
  /** From now on the far side reads nothing of what the target sends. */
  stall?(): void | Promise<void>;
  /** The far side reads again. */
  goOn?(): void | Promise<void>;
}

/** What a target was given and does not own: a socket, a client, a worker. */
export interface Lent {
  /**
   * Called when the target has ended: uses what was lent as its owner would who never gave it away, and rejects with
   * what does not work any more.
   */
  useAgain(): void | Promise<void>;
}

/** The peers of one law. */
export interface Peers {
  /** Publishes what the subscribers hear. */
  readonly publisher: Target;
  /** Who hears; at least one. The first is the one under test. In one memory it is the publisher itself. */
  readonly subscribers: readonly [Target, ...Target[]];
  /** What listeners threw, as the target reported it, growing while the law runs. */
  readonly reported?: readonly unknown[];
  /** Breaks the connection of the first subscriber. */
  readonly fault?: Fault;
  /** Raw text in and out of the medium. */
  readonly wire?: Wire;
  /** The target that reads and writes the other end of `wire`. */
  readonly near?: Target;
  /** What the first subscriber was given, and what stays the caller's. */
  readonly lent?: Lent;
  /** Called when the law is over, however it ended. */
  dispose?(): void | Promise<void>;
}

/**
 * Makes peers on one medium: the one thing that the suite has to be given for a target.
 *
 * @example
 * ```ts
 * import { type Fixture, laws, unmet } from "@alkdev/pubsub/conformance";
 *
 * const fixture: Fixture = {
 *   capabilities: { echo: true, order: "connection", carries: "reference", lifetime: "connection", confirms: true },
 *   peers() {
 *     const target = new EventTarget();
 *     return { publisher: target, subscribers: [target] };
 *   },
 * };
 * for (const law of laws) {
 *   if (unmet(law, fixture) === undefined) test(law.name, () => law.run(fixture));
 * }
 * ```
 */
export interface Fixture {
  /** What the medium promises as a whole: behind a hub that relays, a publisher hears itself. */
  readonly capabilities: Capabilities;
  readonly offers?: Offers;
  /** Makes the peers anew, on a medium that no other law uses, or that many can share. */
  peers(): Peers | Promise<Peers>;
  /** Resolves when a listener that was just added is in place. Without it, it is in place at once. */
  inPlace?(target: Target, topic: string): void | Promise<void>;
  /** The pubsub that the laws put on the targets; this package's own unless given. */
  readonly createPubSub?: typeof createPubSub;
  /** How long a law may take, in milliseconds; 5,000 unless given. */
  readonly deadline?: number;
}
