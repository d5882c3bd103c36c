import { type Core, OVERFLOW } from "../core/core.js";
import { theCore } from "../core/link-core.js";
import { PubSubError } from "../errors.js";
import { adopt, isFresh, LightEvent } from "../event.js";
import { createListeners } from "../listeners.js";
import type { Capabilities, Notices, PubSubEventTarget, Readiness } from "../types.js";
import { bytesOf, hasAtMost, isTopic, now, payloadOf, refusal, toText, utf8Length } from "./message.js";

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
}

/** What a link needs of its transport. */
export interface Wire {
  /** Sends one message. What it throws ends the link. */
  send(text: string): void;
  /** Bytes that were sent and have not left. */
  buffered(): number;
  /** The link has ended: with a code if it is to say why and end the connection, with none if it lets go of it. */
  end(code?: number, reason?: string): void;
}

/** A target, and what its transport tells it. */
export interface Link {
  readonly target: PubSubEventTarget;
  /** From now on messages leave; until then control events wait, and publishing is an error. */
  open(): void;
  /** A message came: text, bytes, or what is none. */
  receive(data: unknown): void;
  /** The connection is gone. */
  lost(reason: string, code?: number): void;
}

/** What a message means: the numbers of `crates/alkpubsub-wasm/src/link.rs`. */
const [EVENT, SETTLED, DENIED, GAP, , REFUSED] = [1, 2, 3, 4, 5, 6];
const READINESS = ["open", "confirmed", "unconfirmed", "denied"] as const;
const CONTROL = 2;
const AT_ONCE = 1;
const TIMERS = 0x7fffffff;

type Words = readonly [number, number, number, number, number, number];

/** The target of one connection: the core decides, the wire carries. */
export function createLink(kind: LinkKind, options: LinkOptions, wire: Wire): Link {
  const core: Core = theCore();
  const { call } = core;
  const { onError, maxMessage = 65_536, maxDepth = 64, maxBufferedAmount = 4 << 20 } = options;
  const link = call.link_new(+kind.forward, 0, maxMessage, maxDepth, 4096, 4096, 4 << 20, 2000, 0, 0);
  /** By the core's numbers. */
  const topics: string[] = [];
  /** The events that the core has taken and not given back. */
  const taken: string[] = [];
  const counts = { sent: 0, received: 0, rejected: 0, denied: 0, gaps: 0, bad_input: 0 };
  const waiting: { topic: string; answer: (readiness: Readiness) => void }[] = [];
  let stage: "connecting" | "open" | "ended" = "connecting";
  let ended: Notices["close"] | undefined;
  let closed = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let due = Number.POSITIVE_INFINITY;

  const listeners = createListeners(onError, (name) => {
    if (!isTopic(name) || stage === "ended") return;
    controlled(call.link_unwant(link, core.put(name, 4096)));
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
    tell("close", reason);
    listeners.clear();
  };
  /** Ends it and the connection, with a code that says why. */
  const give_up = (code: number, reason: string) => {
    if (stage === "ended") return;
    wire.end(code, reason);
    finish({ code, reason });
  };
  const lost = (reason: string, code?: number) => {
    if (stage === "ended") return;
    wire.end();
    finish({ reason, ...(code !== undefined && { code }) });
  };

  // ---- out

  const send = (text: string) => {
    try {
      wire.send(text);
    } catch (error) {
      lost(`it could not be sent: ${error}`);
    }
  };
  const flush = () => {
    while (stage === "open") {
      const next = call.link_pop(link);
      if (!next) return;
      send(next === CONTROL ? core.text() : (taken.shift() as string));
    }
  };
  /** A call of the core may have left control events to send, or there was no room for them. */
  const controlled = (result: number): number => {
    if (result === OVERFLOW) give_up(1013, "more control events wait than may");
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
    const gaps = result === 1 ? core.numbers() : [];
    controlled(result);
    for (const number of gaps) tellGap(topics[number], null, "disconnected");
    if (result === 1) answerThoseWhoWait();
  };

  // ---- ready

  const readiness = (topic: string): Readiness | undefined => {
    if (ended) return { status: "closed" };
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
    if (code) give_up(code, error.message);
  };

  const receive = (data: unknown) => {
    if (stage === "ended") return;
    const message = typeof data === "string" ? data : bytesOf(data);
    const length =
      typeof message === "string" ? core.put(message, maxMessage) : core.putBytes(message, maxMessage);
    const heard = call.link_receive(link, length);
    if (heard === EVENT) {
      // By their places: a typed array is taken apart by its iterator, which is slow.
      const words = core.words() as unknown as Words;
      const topic = topics[words[0]] as string;
      const typeLength = words[1];
      const afterGap = words[4];
      const payload = payloadOf(core, message, length, words[2], words[3], words[5]);
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
      tellGap(named ? topic : undefined, missed === OVERFLOW ? null : missed, reason);
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
        // Who comes too late is told, too.
        if (name === "close") queueMicrotask(() => listeners.dispatch(new LightEvent(name, ended), target));
      } else if (isTopic(name)) {
        const number = call.link_want(link, core.put(name, 4096), now());
        if (number !== OVERFLOW) topics[number] = name;
        controlled(number);
      }
    },
    removeEventListener(name, callback, removed) {
      listeners.remove(name, callback, removed);
    },
    dispatchEvent(event) {
      if (closed) throw new PubSubError("closed", "the event target is closed");
      const isOurs = isFresh(event);
      const text = toText(adopt(event).detail);
      if (stage === "connecting") throw new PubSubError("not_open", "the socket is not open yet");
      if (ended) {
        counts.rejected++;
        return false;
      }
      // What cannot be too long or too deep need not be copied to be asked about.
      const isSmall = isOurs && text.length * 3 <= maxMessage && hasAtMost(maxDepth, text);
      if (!isSmall && !call.link_admit(link, core.put(text, maxMessage), +isOurs)) {
        const error = refusal(core, "bad_topic");
        if (error.code === "bad_topic") throw error;
        return reject(error);
      }
      const way = wire.buffered() > maxBufferedAmount ? 0 : call.link_send(link, text.length);
      if (!way)
        return reject(new PubSubError("full", `more than ${maxBufferedAmount} bytes wait to be sent`));
      counts.sent++;
      if (way === AT_ONCE) send(text);
      else {
        taken.push(text);
        flush();
      }
      return true;
    },
    async ready(topic) {
      const found = readiness(topic);
      return found ?? new Promise((answer) => waiting.push({ topic, answer }));
    },
    close() {
      closed = true;
      if (stage === "ended") return;
      wire.end();
      finish({ reason: "closed by the program" });
    },
    stats: () => ({ ...counts, ...listeners.stats(), links: +(stage === "open") }),
  };

  return {
    target,
    open() {
      if (stage !== "connecting") return;
      stage = "open";
      flush();
    },
    receive,
    lost,
  };
}
