import { type Core, NO_ROOM, UNKNOWN } from "../core/core.js";
import { PubSubError } from "../errors.js";
import { adopt, isFresh, LightEvent } from "../event.js";
import { createListeners } from "../listeners.js";
import type { Capabilities, EventEnvelope, Notices, PubSubEventTarget, Readiness } from "../types.js";
import {
  bound,
  bytesOf,
  hasAtMost,
  isTopic,
  now,
  payloadOf,
  refusal,
  toText,
  utf8Length,
} from "./message.js";

/** The bounds of a link's target. */
export interface LinkOptions {
  /** Told what a listener throws; `console.error` unless given. The other listeners are called all the same. */
  readonly onError?: ((error: unknown) => void) | undefined;
  /** Bytes of one message, in both directions: 65,536 unless given. */
  readonly maxMessage?: number;
  /** How deep objects and arrays may nest; the envelope itself is 1. 64 unless given, never more than 1,024. */
  readonly maxDepth?: number;
  /** Bytes that may wait in the socket; beyond, an event is not taken. 4 MiB unless given. */
  readonly maxBufferedAmount?: number;
}

/** How a link is told apart from others, beside its options. */
export interface LinkKind {
  readonly capabilities: Capabilities;
  /** Whether the far side is told which topics are wanted. */
  readonly forward: boolean;
  /** It outlives its connections, of which it has none at first. */
  readonly outlives?: Outliving;
  /** It begins with a ping, and the far side is asked again and again whether it is there. */
  readonly pings?: Pings;
  /** Others may use the connection, too: what is no envelope does not end it. */
  readonly shared?: boolean;
}

/** How often the far side is asked, and how long nothing may come then, in milliseconds. */
export interface Pings {
  readonly pingInterval: number;
  readonly pingTimeout: number;
}

/** How a link lives through the loss of a connection. */
export interface Outliving extends Pings {
  /** Events are taken while there is no connection, and sent on the next. */
  readonly keepEvents: boolean;
  /** After a close code that says so, the next connection comes with new credentials. */
  readonly renewsCredentials: boolean;
  readonly backoff: {
    readonly first: number;
    readonly max: number;
    readonly later: number;
    readonly stableAfter: number;
  };
}

/** How envelopes are on the wire: what of them the core checks, and where their payload is. */
export interface Format<TMessage> {
  /** What the core is to check of an envelope that goes out: its JSON, with or without the payload. */
  write(envelope: EventEnvelope): string;
  /** What is sent, after the check. */
  message(envelope: EventEnvelope, text: string): TMessage;
  /** What the core is to check of what came in; undefined if that is none of ours. */
  read(data: unknown): string | Uint8Array | undefined;
  /** The payload of what came, which was read as a text of so many bytes, and what the core says of it. */
  payload(data: unknown, text: string | Uint8Array, length: number, words: Words): unknown;
}

/** What a link needs of its transport. */
export interface Wire<TMessage = string> {
  /** Sends one message. A `PubSubError` is the message's fault and goes to its publisher; else the link ends. */
  send(message: TMessage): void;
  /** Somebody listens to a topic, or nobody does any more. */
  listening?(somebody: boolean): void;
  /** Bytes that were sent and have not left. */
  buffered(): number;
  /** Whether events can be sent now, where that is another matter than whether they come. */
  isUp?(): boolean;
  /** The connection is over: with a code if it is to say why and end it, with none if it lets go of it. */
  end(code?: number, reason?: string): void;
  /** The link, which outlives its connections, has none any more, and can do with another after so many milliseconds. */
  down?(why: Notices["close"], wait: number): void;
  /** The link itself has ended. */
  ended?(why: Notices["close"]): void;
}

/** A target, and what its transport tells it. */
export interface Link {
  readonly target: PubSubEventTarget;
  /** There is a connection, and messages leave. */
  open(): void;
  /** A message came: text, bytes, or what is none. */
  receive(data: unknown): void;
  /** Something failed that ends nothing. If a message is lost by it: in these words. */
  failed(error: unknown, lost?: string): void;
  /** The connection is gone; or none came about. */
  lost(reason: string, code?: number): void;
  /** Nothing is dispatched any more; what comes is heard until the connection is gone, and that is the end. */
  leave(): void;
  /** It is over for good, whatever a code says. */
  finish(reason: Notices["close"]): void;
}

/** What a message means: the numbers of `crates/alkpubsub-wasm/src/link.rs`. */
const [EVENT, SETTLED, DENIED, GAP, , REFUSED] = [1, 2, 3, 4, 5, 6];
const READINESS = ["open", "confirmed", "unconfirmed", "denied"] as const;
const CONTROL = 2;
const AT_ONCE = 1;
const DEAD = 2;
const TIMERS = 0x7fffffff;

type Words = readonly [number, number, number, number, number, number];

/** The target of one connection: the core decides, the wire carries. */
export function createLink<TMessage = string>(
  kind: LinkKind,
  options: LinkOptions,
  wire: Wire<TMessage>,
  core: Core,
  format: Format<TMessage> = json(core) as Format<never>,
): Link {
  const { call } = core;
  const { onError } = options;
  const maxMessage = bound("maxMessage", options.maxMessage, 65_536);
  const maxDepth = bound("maxDepth", options.maxDepth, 64);
  const maxBufferedAmount = bound("maxBufferedAmount", options.maxBufferedAmount, 4 << 20);
  const { outlives, pings = outlives } = kind;
  const { pingInterval = 0, pingTimeout = 0 } = pings ?? {};
  const bounds = [maxMessage, maxDepth, 4096, 4096, 4 << 20] as const;
  const life = outlives ? 1 : pings ? 2 : 0;
  const link = call.link_new(+kind.forward, life, ...bounds, 2000, pingInterval, pingTimeout);
  if (outlives) {
    const { first, max, later, stableAfter } = outlives.backoff;
    call.link_set_backoff(link, first, max, later, stableAfter);
  }
  /** By the core's numbers. */
  const topics: string[] = [];
  /** The events that the core has taken and not given back. */
  const taken: TMessage[] = [];
  const counts = { sent: 0, received: 0, rejected: 0, denied: 0, gaps: 0, bad_input: 0 };
  /** Messages of others. */
  let foreign = 0;
  /** Whether anybody listens to a topic. */
  let heeded = false;
  const waiting: { topic: string; answer: (readiness: Readiness) => void }[] = [];
  /** Without a connection: not yet, or (of one that outlives it) not now. */
  let stage: "connecting" | "down" | "open" | "ended" = outlives ? "down" : "connecting";
  let leaving = false;
  let opened = 0;
  let connections = 0;
  let ended: Notices["close"] | undefined;
  let closed = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let due = Number.POSITIVE_INFINITY;

  const listeners = createListeners(onError, (name) => {
    if (!isTopic(name) || stage === "ended") return;
    const left = controlled(call.link_unwant(link, core.put(name, 4096)));
    if (!left) {
      heeded = false;
      wire.listening?.(false);
    }
    answerThoseWhoWait();
  });

  const tell = <K extends keyof Notices>(name: K, detail: Notices[K]) =>
    listeners.dispatch(new LightEvent(name, detail), target);
  const tellGap = (topic: string | undefined, missed: number | null, reason: string) => {
    counts.gaps++;
    tell("gap", { missed, reason, ...(topic !== undefined && { topic }) });
  };
  /** What the core says as `word\ntopic`. */
  const words = (): [string, string] => {
    const text = core.text();
    const at = text.indexOf("\n");
    return [text.slice(0, at), text.slice(at + 1)];
  };

  // ---- the end

  const finish = (reason: Notices["close"]) => {
    stage = "ended";
    ended = reason;
    clearTimeout(timer);
    call.link_free(link);
    taken.length = 0;
    answerThoseWhoWait();
    wire.ended?.(reason);
    tell("close", reason);
    listeners.clear();
  };
  const tellLate = () => {
    tell("close", ended as Notices["close"]);
    listeners.clear();
  };
  /** The connection is over, and with it the link, unless it outlives that. */
  const over = (why: Notices["close"]) => {
    const { code = 0 } = why;
    const renews = outlives?.renewsCredentials && (code === 1008 || code === 4008);
    if (!outlives || leaving || (call.stops(code) && !renews)) {
      finish(leaving ? { ...why, reason: "closed by the program" } : why);
      return;
    }
    const lived = stage === "open" ? now() - opened : 0;
    if (stage === "open") {
      stage = "down";
      call.link_disconnected(link, +outlives.keepEvents);
      if (!outlives.keepEvents) taken.length = 0;
      arm();
    }
    wire.down?.(why, call.link_wait(link, code, lived, Math.random()));
  };
  /** Ends the connection with a code that says why. */
  const giveUp = (code: number, reason: string) => {
    if (stage === "ended") return;
    wire.end(code, reason);
    over({ code, reason });
  };
  const lost = (reason: string, code?: number) => {
    if (stage === "ended") return;
    wire.end();
    over({ reason, ...(code !== undefined && { code }) });
  };

  // ---- out

  const send = (message: TMessage) => {
    try {
      wire.send(message);
    } catch (error) {
      if (error instanceof PubSubError) throw error;
      lost(`it could not be sent: ${error}`);
    }
  };
  const flush = () => {
    while (stage === "open") {
      let next = call.link_pop(link);
      // What a new connection has to be asked for may be more than fits into the queue.
      if (!next && outlives) {
        call.link_refill(link, now());
        next = call.link_pop(link);
      }
      if (!next) return;
      send(next === CONTROL ? (core.text() as TMessage) : (taken.shift() as TMessage));
    }
  };
  /** A call of the core may have left control events to send, or there was no room for them. */
  const controlled = (result: number): number => {
    if (result === NO_ROOM) giveUp(1013, "more control events wait than may");
    else {
      flush();
      arm();
    }
    return result;
  };

  // ---- time

  const arm = () => {
    const next = stage === "ended" ? Number.POSITIVE_INFINITY : call.link_timeout(link);
    if (next === due) return;
    due = next;
    clearTimeout(timer);
    if (next === Number.POSITIVE_INFINITY) return;
    timer = setTimeout(wake, Math.min(Math.max(0, Math.ceil(next - now())), TIMERS));
    // It keeps no process alive.
    (timer as { unref?: () => void }).unref?.();
  };
  const wake = () => {
    due = Number.POSITIVE_INFINITY;
    if (stage === "ended") return;
    const result = call.link_handle_timeout(link, now());
    if (result === DEAD) return giveUp(1006, "the far side answers no ping");
    const gaps = result === 1 ? core.numbers() : [];
    controlled(result);
    for (const number of gaps) tellGap(topics[number], null, "disconnected");
    if (result === 1) answerThoseWhoWait();
  };

  // ---- ready

  const readiness = (topic: string): Readiness | undefined => {
    if (ended) return { status: "closed" };
    // Everything comes over this one connection: there is nobody to ask.
    if (!kind.forward && kind.capabilities.confirms) return { status: "confirmed" };
    const status = READINESS[call.link_readiness(link, core.put(topic, 4096))];
    if (status === "denied") return { status, reason: core.text() };
    return status === "open" ? undefined : ({ status } as Readiness);
  };
  const answerThoseWhoWait = () => {
    for (const one of waiting.splice(0)) {
      const found = readiness(one.topic);
      if (found) one.answer(found);
      else waiting.push(one);
    }
  };

  // ---- in

  const refuse = () => {
    const error = refusal(core, "bad_input");
    counts.bad_input++;
    const code = call.link_refused(link, now());
    tell("error", { error });
    if (code && !kind.shared) giveUp(code, error.message);
  };

  const receive = (data: unknown) => {
    if (stage === "ended") return;
    const message = format.read(data);
    if (message === undefined) {
      foreign++;
      return;
    }
    const length =
      typeof message === "string" ? core.put(message, maxMessage) : core.putBytes(message, maxMessage);
    const heard = call.link_receive(link, length);
    if (heard === EVENT) {
      // By their places: a typed array is taken apart by its iterator, which is slow.
      const words = core.words() as unknown as Words;
      const topic = topics[words[0]] as string;
      const typeLength = words[1];
      const afterGap = words[4];
      const payload = format.payload(data, message, length, words);
      counts.received++;
      if (afterGap) tellGap(topic, null, "disconnected");
      const detail = { type: topic.slice(0, typeLength), id: topic.slice(typeLength + 1), payload };
      listeners.dispatch(new LightEvent(topic, detail), target);
    } else if (heard === REFUSED) refuse();
    else if (heard === SETTLED) {
      const [gap] = core.words() as unknown as Words;
      if (gap) tellGap(topics[gap], null, "disconnected");
      answerThoseWhoWait();
    } else if (heard === DENIED) {
      const action = core.words()[2] ? "subscribe" : "publish";
      const [reason, topic] = words();
      counts.denied++;
      tell("denied", { topic, action, reason });
      answerThoseWhoWait();
    } else if (heard === GAP) {
      const [, , named, missed] = core.words() as unknown as Words;
      const [reason, topic] = words();
      tellGap(named ? topic : undefined, missed === UNKNOWN ? null : missed, reason);
    }
  };

  // ---- the contract

  /** An event that is lost here: counted, and told with the reason. */
  const reject = (error: PubSubError): false => {
    counts.rejected++;
    tell("error", { error });
    return false;
  };

  const target: PubSubEventTarget = {
    capabilities: kind.capabilities,
    addEventListener(name: string, callback: never, added?: never) {
      if (closed) throw new PubSubError("closed", "the event target is closed");
      if (isTopic(name) && utf8Length(name) > 4096) {
        throw new PubSubError("bad_topic", "a topic may have 4,096 bytes");
      }
      const isNew = listeners.add(name, callback, added);
      if (!isNew) return;
      if (ended) {
        // Who comes too late is told, too; and nobody is told twice, who waited for it with others.
        if (name === "close") queueMicrotask(tellLate);
      } else if (isTopic(name)) {
        if (!heeded) wire.listening?.(true);
        heeded = true;
        const number = call.link_want(link, core.put(name, 4096), now());
        if (number !== NO_ROOM) topics[number] = name;
        controlled(number);
      }
    },
    removeEventListener(name, callback, removed) {
      listeners.remove(name, callback, removed);
    },
    dispatchEvent(event) {
      if (closed || leaving) throw new PubSubError("closed", "the event target is closed");
      const isOurs = isFresh(event);
      const { detail } = isOurs ? event : adopt(event);
      const text = format.write(detail);
      if (stage === "connecting") throw new PubSubError("not_open", "the socket is not open yet");
      if (ended) {
        counts.rejected++;
        return false;
      }
      if ((stage === "down" || wire.isUp?.() === false) && !outlives?.keepEvents) {
        return reject(new PubSubError("disconnected", "there is no connection right now"));
      }
      // What cannot be too long or too deep need not be copied to be asked about.
      const isSmall = isOurs && text.length * 3 <= maxMessage && hasAtMost(maxDepth, text);
      if (!isSmall && !call.link_admit(link, core.put(text, maxMessage), +isOurs)) {
        const error = refusal(core, "bad_topic");
        if (error.code === "bad_topic") throw error;
        return reject(error);
      }
      const way =
        stage === "open" && wire.buffered() > maxBufferedAmount ? 0 : call.link_send(link, text.length);
      if (!way)
        return reject(new PubSubError("full", `more than ${maxBufferedAmount} bytes wait to be sent`));
      const message = format.message(detail, text);
      if (way === AT_ONCE) send(message);
      else {
        taken.push(message);
        flush();
      }
      counts.sent++;
      return true;
    },
    async ready(topic) {
      const found = readiness(topic);
      return found ?? new Promise((answer) => waiting.push({ topic, answer }));
    },
    close() {
      closed = true;
      if (stage === "ended") return;
      if (outlives) wire.end(1000, "");
      else wire.end();
      finish({ reason: "closed by the program" });
    },
    stats: () => ({
      ...counts,
      ...(kind.shared && { foreign }),
      ...listeners.stats(),
      links: +(stage === "open"),
    }),
  };

  return {
    target,
    open() {
      if (stage === "ended" || stage === "open") return;
      stage = "open";
      opened = now();
      if (!pings) return flush();
      controlled(call.link_connected(link, opened));
      // Nothing will be confirmed, so that this is the place.
      if (!kind.forward && connections++) tellGap(undefined, null, "disconnected");
    },
    receive,
    failed(error, lost) {
      if (stage === "ended") return;
      if (lost !== undefined) counts.bad_input++;
      tell("error", { error });
      if (lost !== undefined) tellGap(undefined, null, lost);
    },
    lost,
    leave() {
      leaving = true;
    },
    finish(reason) {
      if (stage !== "ended") finish(reason);
    },
  };
}

/** Text, or bytes that are text. */
const json = (core: Core): Format<string> => ({
  write: toText,
  message: (_, text) => text,
  read: (data) => (typeof data === "string" ? data : bytesOf(data)),
  payload: (_, text, length, words) => payloadOf(core, text, length, words[2], words[3], words[5]),
});
