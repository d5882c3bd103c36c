import type {
  EnvelopeOf,
  EventMapOf,
  Notices,
  PubSubEventMap,
  PubSubEventTarget,
  TypedEvent,
  TypedEventListenerOrEventListenerObject,
  TypedListenerOptions,
} from "../types.js";

/** Why a hub says no; the word on the wire. */
export type DenyReason =
  | "not_allowed"
  | "reserved"
  | "bad_topic"
  | "topic_too_long"
  | "too_many_subscriptions"
  | "broker"
  | "draining";

/**
 * One connection of a hub: its listeners hear what this spoke sends, and `dispatchEvent` sends to it alone, subscribed or
 * not. It ends with the connection: listeners of `close` are told `{ code, reason }` once.
 */
export interface Spoke<TEventMap extends EventMapOf<TEventMap> = PubSubEventMap>
  extends PubSubEventTarget<TEventMap> {
  /** Who it is, as given to `addConnection`. */
  readonly identity: string | undefined;
  /** Takes a topic back, or tells the spoke that it may not have it: it hears no more of it, and is told why. */
  deny(topic: string, reason?: DenyReason): void;
  /** Hands over what the socket received: text or bytes. Only for sockets that have no `addEventListener`. */
  message(data: unknown): void;
  /** Says that the socket is closed. Only for sockets that have no `addEventListener`. */
  closed(code?: number, reason?: string): void;
}

/** What a listener of the hub's target gets: an event, or a notice, and whose it is. */
export interface SpokeEvent<
  TEventMap extends EventMapOf<TEventMap> = PubSubEventMap,
  TType extends string = string,
  TDetail = EnvelopeOf<TEventMap>,
> extends TypedEvent<TType, TDetail> {
  /** Who sent it; undefined where it is the hub's own notice. */
  readonly spoke: Spoke<TEventMap> | undefined;
}

/** The bounds of a hub, and the program's say in it. */
export interface HubOptions<TEventMap extends EventMapOf<TEventMap> = PubSubEventMap> {
  /** To whom `dispatchEvent` sends: to those who subscribed (default), or to all, for spokes that never subscribe. */
  readonly fanOut?: "subscribed" | "all";
  /**
   * Whether connections have identities, so that `direct:<identity>` may be subscribed to by its owner alone. So it is
   * in any case from the first connection on that comes with one.
   */
  readonly identities?: boolean;
  /**
   * Whether a spoke may subscribe to a topic, or publish on it: `true`, or it is told the reason (`false` is
   * `not_allowed`). The topic is split at its first `:`, also where the envelope's type holds one. It is asked for every
   * `subscribe` and every event, so it has to be synchronous: what takes longer is to be found out before
   * `addConnection`. What it throws, and a promise, is reported to `onError` and counts as `false`.
   */
  readonly authorise?: (
    spoke: Spoke<TEventMap>,
    action: "subscribe" | "publish",
    type: string,
    id: string,
  ) => boolean | DenyReason;
  /** Bytes that may wait in one socket after a send; beyond, it is closed with 1013. 1 MiB unless given. */
  readonly maxBufferedAmount?: number;
  /** Told that more waits in a spoke's socket than may. When it returns, the connection is closed. */
  readonly onBackpressure?: (spoke: Spoke<TEventMap>, bufferedAmount: number) => void;
  /** Told what a listener or a hook throws; `console.error` unless given. Nothing else is stopped by it. */
  readonly onError?: ((error: unknown) => void) | undefined;
  /** Bytes of one message, in both directions: 65,536 unless given. */
  readonly maxMessage?: number;
  /** How deep objects and arrays may nest; the envelope itself is 1. 64 unless given, never more than 1,024. */
  readonly maxDepth?: number;
  /** Bytes of a topic, beyond which it is denied: 255 unless given. */
  readonly maxTopic?: number;
  /** Distinct topics that one spoke may hold: 128 unless given. */
  readonly maxTopicsPerLink?: number;
  /** Connections at one time: 65,536 unless given. */
  readonly maxLinks?: number;
}

/** The target of a hub without its connections' transport. */
export interface HubTarget<TEventMap extends EventMapOf<TEventMap> = PubSubEventMap>
  extends PubSubEventTarget<TEventMap> {
  addEventListener<K extends keyof Notices>(
    name: K,
    callback: TypedEventListenerOrEventListenerObject<SpokeEvent<TEventMap, K, Notices[K]>> | null,
    options?: TypedListenerOptions | boolean,
  ): void;
  addEventListener(
    topic: `${string}:${string}`,
    callback: TypedEventListenerOrEventListenerObject<SpokeEvent<TEventMap>> | null,
    options?: TypedListenerOptions | boolean,
  ): void;
  /** The connections there are; it grows and shrinks with them. */
  readonly spokes: ReadonlySet<Spoke<TEventMap>>;
  /** Tells the spokes that events are missing, of one topic or of all; `missed` is null where it is not known. */
  gap(gap: {
    readonly topic?: string;
    readonly missed?: number | null;
    readonly reason: "slow" | "broker" | "too_large";
  }): void;
  /**
   * From now on new topics are denied (`draining`) and new connections are closed with 1001. Those that are there go on;
   * the program closes their sockets when it likes.
   */
  drain(): void;
}
