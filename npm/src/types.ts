import type { Repeater } from "./repeater.js";

// Nothing here names a type of the DOM: the package is typed where there is none.

/** The one message, in every transport. */
export interface EventEnvelope<TType extends string = string, TPayload = unknown> {
  /** What happened. Not empty, and never with `__` at its beginning. */
  readonly type: TType;
  /** To whom or what; `""` is an id as any other. */
  readonly id: string;
  readonly payload: TPayload;
}

/** From event types to their payloads: `{ "call.responded": { output: number } }`. */
export type PubSubEventMap = { [type: string]: unknown };

/** What a map of events has to be: a type or an interface with one member an event. */
export type EventMapOf<TEventMap> = { [K in keyof TEventMap]: unknown };

/** The event types of a map, without those that no program may publish. */
export type EventTypeOf<TEventMap> = Exclude<Extract<keyof TEventMap, string>, `__${string}` | "">;

/** The envelopes of a map: of one event type, or the union of several. */
export type EnvelopeOf<TEventMap, TType extends EventTypeOf<TEventMap> = EventTypeOf<TEventMap>> =
  TType extends EventTypeOf<TEventMap> ? EventEnvelope<TType, TEventMap[TType]> : never;

// ------------------------------------------------------------------------------------------------ event targets

/** What a listener gets: what it would expect of a `CustomEvent`. Its `type` is the topic, `<type>:<id>`. */
export interface TypedEvent<TType extends string = string, TDetail = unknown> {
  readonly type: TType;
  readonly detail: TDetail;
  readonly target: object | null;
  readonly currentTarget: object | null;
  readonly eventPhase: number;
  readonly bubbles: boolean;
  readonly cancelable: boolean;
  readonly composed: boolean;
  readonly defaultPrevented: boolean;
  readonly isTrusted: boolean;
  readonly timeStamp: number;
  composedPath(): object[];
  preventDefault(): void;
  stopPropagation(): void;
  stopImmediatePropagation(): void;
}

/** A listener as a function; its `this` is the target. */
export type TypedEventListener<TEvent extends TypedEvent = TypedEvent> = (event: TEvent) => void;

/** A listener as an object; the method is looked up at each call. */
export interface TypedEventListenerObject<TEvent extends TypedEvent = TypedEvent> {
  handleEvent(event: TEvent): void;
}

export type TypedEventListenerOrEventListenerObject<TEvent extends TypedEvent = TypedEvent> =
  | TypedEventListener<TEvent>
  | TypedEventListenerObject<TEvent>;

/** What this package needs of an `AbortSignal`. */
export interface AbortSignalLike {
  readonly aborted: boolean;
  addEventListener(type: "abort", listener: () => void, options?: { once?: boolean }): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

/** The third argument of `addEventListener`, as in the DOM. */
export interface TypedListenerOptions {
  readonly capture?: boolean;
  /** Called once at most. */
  readonly once?: boolean;
  /** Its `preventDefault` is without effect. */
  readonly passive?: boolean;
  /** Removes the listener. */
  readonly signal?: AbortSignalLike;
}

/** An event target, typed by its events. */
export interface TypedEventTarget<TEvent extends TypedEvent = TypedEvent> extends TargetHooks {
  addEventListener(
    type: TEvent["type"],
    callback: TypedEventListenerOrEventListenerObject<TEvent> | null,
    options?: TypedListenerOptions | boolean,
  ): void;
  /** @returns false if the event was cancelled, or lost at a queue that is full. */
  dispatchEvent(event: TEvent): boolean;
  removeEventListener(
    type: TEvent["type"],
    callback: TypedEventListenerOrEventListenerObject<TEvent> | null,
    options?: { readonly capture?: boolean } | boolean,
  ): void;
}

/** Anything with the three methods: a target of this package, a plain `new EventTarget()`, one of your own. */
export interface EventTargetLike extends TargetHooks {
  addEventListener(type: string, callback: never, options?: never): void;
  dispatchEvent(event: never): boolean;
  removeEventListener(type: string, callback: never, options?: never): void;
}

/** What a target may have beside the three methods of the DOM. `createPubSub` uses what it finds. */
export interface TargetHooks {
  /**
   * What the target promises. A target that says so tells its {@link Notices}, and takes any event that has a
   * `type` and a `detail`; to others `createPubSub` gives real `CustomEvent`s and does not listen for notices.
   */
  readonly capabilities?: Capabilities;
  /** Resolves when the far side has answered for this topic, which has a listener. */
  ready?(topic: string): Promise<Readiness>;
}

/** What a target promises. */
export interface Capabilities {
  /** A publisher that listens gets its own event. */
  readonly echo: boolean;
  /** Order holds across all topics of a connection, or for each topic alone. */
  readonly order: "connection" | "topic";
  /** What a listener gets: the value itself, a structured clone, or what `JSON.parse` makes of it. */
  readonly carries: "reference" | "clone" | "json";
  /** Ends with its connection, or lives through the loss of one. */
  readonly lifetime: "connection" | "outlives";
  /** Says whether a subscription is in place. */
  readonly confirms: boolean;
}

/**
 * What a target itself has to say, by the names under which it is listened to. A topic always holds a `:`, so that
 * a name without one is the target's. Told in its place among the events.
 */
export interface Notices {
  /** The target has ended; told once. A code is that of a WebSocket or QUIC. */
  close: { readonly code?: number; readonly reason: string };
  /** Events are missing here: of one topic, or of any. `missed` is null where the number is not known. */
  gap: { readonly topic?: string; readonly missed: number | null; readonly reason: string };
  /** The far side refuses a topic, or what was published on it. */
  denied: { readonly topic: string; readonly action: "subscribe" | "publish"; readonly reason: string };
  /** Something failed that ends nothing. */
  error: { readonly error: unknown };
}

/** What every event target of this package is: the three methods, notices, and an end. */
export interface PubSubEventTarget<TEventMap extends EventMapOf<TEventMap> = PubSubEventMap>
  extends TypedEventTarget<TypedEvent<string, EnvelopeOf<TEventMap>>> {
  readonly capabilities: Capabilities;
  addEventListener<K extends keyof Notices>(
    name: K,
    callback: TypedEventListenerOrEventListenerObject<TypedEvent<K, Notices[K]>> | null,
    options?: TypedListenerOptions | boolean,
  ): void;
  addEventListener(
    topic: `${string}:${string}`,
    callback: TypedEventListenerOrEventListenerObject<TypedEvent<string, EnvelopeOf<TEventMap>>> | null,
    options?: TypedListenerOptions | boolean,
  ): void;
  removeEventListener(
    name: string,
    callback: TypedEventListenerOrEventListenerObject<never> | null,
    options?: { readonly capture?: boolean } | boolean,
  ): void;
  /** Ends it; again does nothing. What it was made of (a socket, a client, a worker) is left as it was given. */
  close(): void;
  /** All counters. */
  stats(): { readonly [counter: string]: number };
}

// ------------------------------------------------------------------------------------------------ subscriptions

/** Whether a subscription is in place; of several topics, the worst answer, and the first topic that has it. */
export type Readiness =
  /** No event published from now on is missed. */
  | { readonly status: "confirmed" }
  /** It is asked for, and the far side does not answer such questions. */
  | { readonly status: "unconfirmed"; readonly topic?: string }
  /** The far side refuses. */
  | { readonly status: "denied"; readonly reason: string; readonly topic?: string }
  /** The subscription, or the target, has ended before. */
  | { readonly status: "closed"; readonly topic?: string };

/** So many events are missing here, for they were read too slowly. */
export interface Lagged {
  readonly type: "__lagged";
  readonly missed: number;
}

/** An unknown number of events may be missing here: time to load the state anew. */
export interface Gap {
  readonly type: "__gap";
  readonly reason: string;
  /** The topic concerned; any topic if there is none. */
  readonly topic?: string;
}

/** A loss. No envelope has a type that begins with `__`, so that `item.type` tells them apart. */
export type Loss = Lagged | Gap;

/** What becomes of an event for which the queue has no room. */
export type Overflow = "drop-oldest" | "drop-newest" | "error";

/** Called at each loss, within the publisher's call. What it throws is reported as a listener's error is. */
export type OnLoss = (loss: Loss, topics: readonly string[]) => void;

export interface SubscribeOptions {
  /**
   * How many events may wait to be read: a whole number from 1 on, 1024 unless given. Events are held by
   * reference, so that their bytes are not known here, and not bounded.
   */
  readonly capacity?: number;
  /**
   * What happens beyond: the oldest that waits gives way (default), the new one is not taken, or the subscription
   * ends: what waits is still read, then `next()` rejects with a {@link PubSubError} of code `overflow`.
   */
  readonly overflow?: Overflow;
  /** Called at each loss. That of `createPubSub` unless given. */
  readonly onLoss?: OnLoss;
  /** Ends the subscription, as `return()` does: what waits is dropped, whoever waits is done. */
  readonly signal?: AbortSignalLike;
}

/** Why a subscription has ended. */
export interface SubscriptionEnd {
  readonly reason: "returned" | "aborted" | "closed" | "denied" | "overflow" | "failed";
  /** In the words of the target, if it gave some. */
  readonly detail?: string;
}

export interface SubscriptionStats {
  /** Events that wait to be read. */
  readonly queued: number;
  /** Events that were read. */
  readonly delivered: number;
  /** Events known to be lost. */
  readonly lost: number;
  /** Times when an unknown number was lost. */
  readonly gaps: number;
}

/**
 * The events of one topic or several, in the order in which they were published.
 *
 * Nothing is listened to before the first `next()`, or before `ready` is read; both register synchronously.
 * Leaving a `for await` ends it, and so do `return()`, `using` and the signal; the listeners are removed before
 * the call returns. It holds no timer and no handle, and keeps no process alive.
 */
export interface Subscription<T> extends Repeater<T> {
  /**
   * Registers, and resolves when the target has answered. In-process that is at once. From then on events wait
   * in the queue, also while nobody reads. Who reads it and then does not iterate has to call `return()`.
   */
  readonly ready: Promise<Readiness>;
  /** Why it ended; undefined until it does. */
  readonly end: SubscriptionEnd | undefined;
  stats(): SubscriptionStats;
}

// ------------------------------------------------------------------------------------------------ the typed face

export interface PubSubConfig<TEventMap extends EventMapOf<TEventMap> = PubSubEventMap> {
  /** Where events go; in-process by default. */
  readonly eventTarget?:
    | EventTargetLike
    | TypedEventTarget<TypedEvent<string, EnvelopeOf<TEventMap>>>
    | undefined;
  /**
   * Told what a listener of the in-process target threw, or an `onLoss`, or a target that was to remove a listener;
   * `console.error` unless given. What listeners throw, an event target of your own tells in its own way.
   */
  readonly onError?: ((error: unknown) => void) | undefined;
  /** Called at each loss of a subscription without an `onLoss` of its own. */
  readonly onLoss?: OnLoss | undefined;
}

/** The types that a list of topics may hold, and what is read of them. */
export type Topics<TType extends string> = readonly (readonly [type: TType, id: string])[];

type WithLosses = SubscribeOptions & { readonly losses: true };
type WithoutLosses = SubscribeOptions & { readonly losses?: false };

/** The typed face of an event target. */
export interface PubSub<TEventMap extends EventMapOf<TEventMap> = PubSubEventMap> {
  /**
   * Gives an event to all who listen to `<type>:<id>` now. In-process they are called before it returns, and the
   * payload is handed on by reference, whatever it is.
   *
   * @returns false if the target could not take it: its queue is full, or it is not connected.
   * @throws PubSubError `reserved` for a type that begins with `__`, `bad_topic` for an empty type or for what is no
   * string, `closed` after `close()`.
   */
  publish<TType extends EventTypeOf<TEventMap>>(type: TType, id: string, payload: TEventMap[TType]): boolean;
  /**
   * The events of one topic. With `losses: true` what was lost is an item among them, in its place.
   *
   * @throws PubSubError as `publish` does; RangeError for a capacity or an overflow that is none.
   */
  subscribe<TType extends EventTypeOf<TEventMap>>(
    type: TType,
    id: string,
    options: WithLosses,
  ): Subscription<EnvelopeOf<TEventMap, TType> | Loss>;
  subscribe<TType extends EventTypeOf<TEventMap>>(
    type: TType,
    id: string,
    options?: WithoutLosses,
  ): Subscription<EnvelopeOf<TEventMap, TType>>;
  /**
   * The events of several topics in one stream and one queue, in the order in which they were published: an end
   * that is told on one topic cannot overtake the data on another.
   */
  subscribe<TType extends EventTypeOf<TEventMap>>(
    topics: Topics<TType>,
    options: WithLosses,
  ): Subscription<EnvelopeOf<TEventMap, TType> | Loss>;
  subscribe<TType extends EventTypeOf<TEventMap>>(
    topics: Topics<TType>,
    options?: WithoutLosses,
  ): Subscription<EnvelopeOf<TEventMap, TType>>;
  /**
   * Ends all subscriptions: what waits is still read, then they are done. Again it does nothing. An event target
   * that was given is left as it is.
   */
  close(): void;
  /** `using`: as `close()`. There where the runtime knows the symbol. */
  [Symbol.dispose](): void;
  /** `await using`: as `close()`. There where the runtime knows the symbol. */
  [Symbol.asyncDispose](): Promise<void>;
}
