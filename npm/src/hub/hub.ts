import { type Core, type HubExports, NO_ROOM, UNKNOWN } from "../core/core.js";
import { theHubCore } from "../core/hub-core.js";
import { PubSubError, report } from "../errors.js";
import { adopt, isFresh, LightEvent } from "../event.js";
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
} from "../link/message.js";
import { createListeners, type Listeners } from "../listeners.js";
import type { Notices } from "../types.js";
import type { HubOptions, HubTarget, Spoke } from "./types.js";

/** What a hub needs of one connection's transport. */
export interface HubWire {
  /** Sends one message. What it throws ends the connection; false: it was dropped, for too much waits. */
  send(text: string): boolean;
  /** Bytes that were sent and have not left. */
  buffered(): number;
  /** The connection has ended: with a code if it is to be closed, with none if the hub lets go of it. */
  end(code?: number, reason?: string): void;
}

/** One connection, as its transport sees it. */
export interface Member {
  readonly spoke: Spoke;
  /** From now on messages leave. */
  open(): void;
  /** Something failed that ends nothing. */
  failed(error: unknown): void;
}

/** A hub, and what its transport tells it. */
export interface Hub {
  readonly target: HubTarget;
  readonly isDraining: () => boolean;
  /** A connection came; undefined if there are as many as there may be. */
  connect(
    wire: HubWire,
    identity: string | undefined,
    onOpen: (spoke: Spoke) => void,
    onEnd: (spoke: Spoke, reason: Notices["close"]) => void,
  ): Member | undefined;
}

interface Connection extends Member {
  readonly slot: number;
  readonly wire: HubWire;
  readonly listeners: Listeners;
  readonly onEnd: (spoke: Spoke, reason: Notices["close"]) => void;
  readonly counts: { sent: number; received: number; rejected: number; bad_input: number };
  isOpen: boolean;
  ended: Notices["close"] | undefined;
  /** Its listeners were told, and are gone. */
  isBuried: boolean;
}

/** What a message calls for: the numbers of `crates/alkpubsub-wasm/src/hub.rs`. */
const [WRITE, PUBLISH, SUBSCRIBE, REFUSED] = [1, 2, 3, 4];
/** Bytes of a topic that the program listens to. */
const MAX_TOPIC = 4096;
/** What the core counts with 32 bits is no more than that. */
const MOST = 0x7fffffff;

class HubEvent extends LightEvent {
  readonly spoke: Spoke | undefined;
  constructor(name: string, detail: unknown, spoke: Spoke | undefined) {
    super(name, detail);
    this.spoke = spoke;
  }
}

/** The target of many connections: the core decides, the wires carry. */
export function createHub(options: HubOptions): Hub {
  const core: Core<HubExports> = theHubCore();
  const { call } = core;
  const { authorise, onBackpressure, onError } = options;
  const maxMessage = bound("maxMessage", options.maxMessage, 65_536);
  const maxDepth = bound("maxDepth", options.maxDepth, 64);
  const maxBufferedAmount = bound("maxBufferedAmount", options.maxBufferedAmount, 1 << 20);
  const hub = call.hub_new(
    +(options.fanOut === "all"),
    +(options.identities === true),
    +(authorise !== undefined),
    maxMessage,
    maxDepth,
    bound("maxTopic", options.maxTopic, 255),
    bound("maxTopicsPerLink", options.maxTopicsPerLink, 128),
    bound("maxLinks", options.maxLinks, 65_536),
  );
  /** By the core's numbers. */
  const topics: string[] = [];
  /** By the core's slots. */
  const connections: (Connection | undefined)[] = [];
  const spokes = new Set<Spoke>();
  const counts = { rejected: 0, too_slow: 0, sent: 0 };
  let draining = false;
  let closed = false;
  let final: { [counter: string]: number } = {};

  // ---- who listens

  const listen = (name: string) => {
    if (isTopic(name)) topics[call.hub_listen(hub, core.put(name, MAX_TOPIC))] = name;
  };
  const unlisten = (name: string) => {
    if (isTopic(name) && !closed) call.hub_unlisten(hub, core.put(name, MAX_TOPIC));
  };
  const checkName = (name: string) => {
    if (isTopic(name) && utf8Length(name) > MAX_TOPIC) {
      throw new PubSubError("bad_topic", "a topic may have 4,096 bytes");
    }
  };
  const listeners = createListeners(onError, unlisten);
  const tell = <K extends keyof Notices>(name: K, detail: Notices[K], spoke?: Spoke) =>
    listeners.dispatch(new HubEvent(name, detail, spoke), target);
  const hook = (run: () => void) => {
    try {
      run();
    } catch (error) {
      report(error, onError);
    }
  };

  // ---- the end of a connection

  /** It is told to be gone. Before, it has let go of its transport. */
  const bury = (connection: Connection, reason: Notices["close"]) => {
    connection.listeners.dispatch(new LightEvent("close", reason), connection.spoke);
    connection.listeners.clear();
    connection.isBuried = true;
    if (connection.isOpen) hook(() => connection.onEnd(connection.spoke, reason));
  };
  const end = (connection: Connection, reason: Notices["close"], code?: number) => {
    if (connection.ended) return;
    connection.ended = reason;
    connections[connection.slot] = undefined;
    spokes.delete(connection.spoke);
    call.hub_disconnect(hub, connection.slot);
    hook(() => connection.wire.end(code, reason.reason));
    bury(connection, reason);
  };
  const giveUp = (connection: Connection, code: number, reason: string) =>
    end(connection, { code, reason }, code);

  // ---- out

  /**
   * What is on its way out: an event, and to whom; slots for which answers wait in the core. A socket may call back from
   * within `send`. Whatever that leads to finishes first what was begun, so that each hears all in order.
   */
  let text = "";
  let receivers: Connection[] = [];
  let nextReceiver = 0;
  let slots: number[] = [];
  let nextSlot = 0;

  const send = (connection: Connection, said: string) => {
    const { wire } = connection;
    try {
      if (wire.send(said) && wire.buffered() <= maxBufferedAmount) return;
    } catch (error) {
      return end(connection, { reason: `it could not be sent: ${error}` });
    }
    if (connection.ended) return;
    counts.too_slow++;
    if (onBackpressure) hook(() => onBackpressure(connection.spoke, wire.buffered()));
    giveUp(connection, 1013, `more than ${maxBufferedAmount} bytes wait`);
  };
  const sendEvent = (connection: Connection, said: string) => {
    // What is sent to all is not for who is not there yet.
    if (connection.ended || !connection.isOpen) return;
    connection.counts.sent++;
    send(connection, said);
  };
  const finish = () => {
    while (nextReceiver < receivers.length) sendEvent(receivers[nextReceiver++] as Connection, text);
    while (nextSlot < slots.length) {
      const slot = slots[nextSlot] as number;
      const connection = connections[slot];
      if (closed || !connection || !call.hub_pop(hub, slot)) nextSlot++;
      else send(connection, core.text());
    }
  };
  /** Sends the answers that the core has for spokes. */
  const flush = () => {
    finish();
    if (closed || !call.hub_take_dirty(hub)) return;
    slots = core.numbers();
    nextSlot = 0;
    finish();
  };

  /** Whether an event may be sent. What is too much is told. */
  const isAdmitted = (text: string, isOurs: boolean, reject: (error: PubSubError) => void): boolean => {
    // What cannot be too long or too deep need not be copied to be asked about.
    const isSmall = isOurs && text.length * 3 <= maxMessage && hasAtMost(maxDepth, text);
    if (isSmall || call.hub_admit(hub, core.put(text, maxMessage), +isOurs)) return true;
    const error = refusal(core, "bad_topic");
    if (error.code === "bad_topic") throw error;
    reject(error);
    return false;
  };

  // ---- in

  /** Whether the program agrees. If not, the spoke is told. */
  const isAllowed = (connection: Connection, action: "subscribe" | "publish", topic: string): boolean => {
    if (!authorise) return true;
    const at = topic.indexOf(":");
    let verdict: unknown;
    hook(() => {
      verdict = authorise(connection.spoke, action, topic.slice(0, at), topic.slice(at + 1));
      if (typeof (verdict as PromiseLike<unknown> | undefined)?.then === "function") {
        // Its failure would be nobody's.
        (verdict as PromiseLike<unknown>).then(undefined, () => {});
        throw new TypeError("authorise gave a promise, which counts as no: it has to be synchronous");
      }
    });
    if (connection.ended) return false;
    if (verdict === true) return true;
    deny(connection, action, topic, typeof verdict === "string" ? verdict : "not_allowed");
    return false;
  };
  const deny = (connection: Connection, action: string, topic: string, reason: string) => {
    const word = reason.split("\n", 1)[0];
    call.hub_deny(hub, connection.slot, core.put(`${word}\n${topic}`, MOST), +(action === "subscribe"));
    flush();
  };

  const refuse = (connection: Connection) => {
    const error = refusal(core, "bad_input");
    const code = call.hub_refused(hub, connection.slot, now());
    connection.counts.bad_input++;
    connection.listeners.dispatch(new LightEvent("error", { error }), connection.spoke);
    tell("error", { error }, connection.spoke);
    if (code) giveUp(connection, code, error.message);
  };

  const publish = (connection: Connection, message: string | Uint8Array, length: number) => {
    // By their places: a typed array is taken apart by its iterator, which is slow.
    const words = core.words() as unknown as readonly [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    const [number, typeLength] = [words[2], words[3]];
    const topic = number ? (topics[number] as string) : core.text();
    // What comes after may call the core, which forgets the message.
    const payload = number ? payloadOf(core, message, length, words[4], words[5], words[6]) : undefined;
    if (!isAllowed(connection, "publish", topic)) return;
    connection.counts.received++;
    const { spoke } = connection;
    const detail = { type: topic.slice(0, typeLength), id: topic.slice(typeLength + 1), payload };
    if (connection.listeners.has(topic)) {
      connection.listeners.dispatch(new LightEvent(topic, detail), spoke);
    }
    if (listeners.has(topic)) listeners.dispatch(new HubEvent(topic, detail, spoke), target);
  };

  const receive = (connection: Connection, data: unknown) => {
    if (connection.ended || !connection.isOpen) return;
    const message = typeof data === "string" ? data : bytesOf(data);
    const length =
      typeof message === "string" ? core.put(message, maxMessage) : core.putBytes(message, maxMessage);
    const asked = call.hub_receive(hub, connection.slot, length);
    if (asked === PUBLISH) publish(connection, message, length);
    else if (asked === WRITE) flush();
    else if (asked === REFUSED) refuse(connection);
    else if (asked === SUBSCRIBE) {
      const topic = core.text();
      if (!isAllowed(connection, "subscribe", topic)) return;
      call.hub_subscribe(hub, connection.slot, core.put(topic, MOST));
      flush();
    }
  };

  // ---- the contract

  const add = (on: Listeners, isBuried: boolean, name: string, callback: never, added?: never): boolean => {
    checkName(name);
    const isNew = on.add(name, callback, added);
    if (isNew && !isBuried) listen(name);
    return isNew;
  };

  const connect: Hub["connect"] = (wire, identity, onOpen, onEnd) => {
    const length = identity === undefined ? 0 : core.put(identity, MOST);
    const slot = call.hub_connect(hub, +(identity !== undefined), length);
    if (slot === NO_ROOM) return undefined;
    let isClosed = false;
    const check = () => {
      if (isClosed || closed) throw new PubSubError("closed", "the event target is closed");
    };
    const reject = (error: PubSubError) => {
      connection.counts.rejected++;
      own.dispatch(new LightEvent("error", { error }), spoke);
    };
    const own = createListeners(onError, (name) => {
      if (!connection.isBuried) unlisten(name);
    });
    const spoke: Spoke = {
      capabilities: {
        echo: false,
        order: "connection",
        carries: "json",
        lifetime: "connection",
        confirms: true,
      },
      identity,
      addEventListener(name: string, callback: never, added?: never) {
        check();
        const { ended, isBuried } = connection;
        if (!add(own, isBuried, name, callback, added) || !ended) return;
        // Who comes too late is told, too; and nobody is told twice, who waited for it with others.
        if (name !== "close") return;
        queueMicrotask(() => {
          own.dispatch(new LightEvent(name, ended), spoke);
          if (connection.isBuried) own.clear();
        });
      },
      removeEventListener(name, callback, removed) {
        own.remove(name, callback, removed);
      },
      dispatchEvent(event) {
        const isOurs = isFresh(event);
        const said = toText(adopt(event).detail);
        finish();
        // Behind what may have called the program.
        check();
        if (!connection.isOpen) throw new PubSubError("not_open", "the socket is not open yet");
        if (connection.ended || !isAdmitted(said, isOurs, reject)) return false;
        counts.sent++;
        sendEvent(connection, said);
        return true;
      },
      ready: async () => ({ status: connection.ended ? "closed" : "confirmed" }),
      close() {
        isClosed = true;
        end(connection, { reason: "closed by the program" });
      },
      stats: () => ({ ...connection.counts, ...own.stats() }),
      deny(topic, reason = "not_allowed") {
        if (!connection.ended) deny(connection, "subscribe", topic, reason);
      },
      message: (data) => receive(connection, data),
      closed: (code, reason) =>
        end(connection, {
          reason: reason || "the connection is closed",
          ...(code !== undefined && { code }),
        }),
    };
    const connection: Connection = {
      spoke,
      slot,
      wire,
      listeners: own,
      onEnd,
      counts: { sent: 0, received: 0, rejected: 0, bad_input: 0 },
      isOpen: false,
      ended: undefined,
      isBuried: false,
      open() {
        if (connection.isOpen || connection.ended) return;
        connection.isOpen = true;
        spokes.add(spoke);
        hook(() => onOpen(spoke));
      },
      failed(error) {
        if (connection.ended) return;
        own.dispatch(new LightEvent("error", { error }), spoke);
        tell("error", { error }, spoke);
      },
    };
    connections[slot] = connection;
    return connection;
  };

  let names: string[] | undefined;
  const stats = () => {
    if (closed) return final;
    call.hub_count(hub);
    const numbers = core.numbers();
    if (!names) {
      call.hub_counters();
      names = core.text().trimEnd().split("\n");
    }
    const counted: { [counter: string]: number } = { ...counts, links: spokes.size, ...listeners.stats() };
    names.forEach((name, at) => {
      counted[name] =
        (counted[name] ?? 0) + (numbers[2 * at] as number) + (numbers[2 * at + 1] as number) * 2 ** 32;
    });
    return counted;
  };

  const check = () => {
    if (closed) throw new PubSubError("closed", "the event target is closed");
  };
  const reject = (error: PubSubError) => {
    counts.rejected++;
    tell("error", { error });
  };
  const target: HubTarget = {
    capabilities: {
      echo: false,
      order: "connection",
      carries: "json",
      lifetime: "outlives",
      confirms: true,
    },
    spokes,
    addEventListener(name: string, callback: never, added?: never) {
      check();
      add(listeners, false, name, callback, added);
    },
    removeEventListener(name, callback, removed) {
      listeners.remove(name, callback, removed);
    },
    dispatchEvent(event) {
      const isOurs = isFresh(event);
      const { type: topic, detail } = adopt(event);
      const said = toText(detail);
      finish();
      // Behind what may have called the program.
      check();
      if (!isAdmitted(said, isOurs, reject)) return false;
      const count = call.hub_fan_out(hub, core.put(topic, MOST));
      if (!count) return true;
      text = said;
      receivers = [];
      nextReceiver = 0;
      for (const slot of core.numbers()) receivers.push(connections[slot] as Connection);
      finish();
      // Nobody is kept for having got it.
      receivers = [];
      nextReceiver = 0;
      return true;
    },
    ready: async () => ({ status: closed ? "closed" : "confirmed" }),
    gap({ topic, missed = null, reason }) {
      check();
      const number = missed === null ? UNKNOWN : bound("missed", missed, 0);
      const length = core.put(`${reason}\n${topic ?? ""}`, MOST);
      call.hub_gap(hub, length, +(topic !== undefined), number);
      flush();
    },
    drain() {
      check();
      draining = true;
      call.hub_drain(hub);
    },
    close() {
      if (closed) return;
      final = { ...stats(), links: 0, listeners: 0, topics: 0, subscribed_topics: 0, listened_topics: 0 };
      closed = true;
      call.hub_free(hub);
      const reason = { reason: "closed by the program" };
      const all = connections.filter((connection) => connection !== undefined);
      connections.length = 0;
      spokes.clear();
      // All are let go of before the first is told.
      for (const connection of all) {
        connection.ended = reason;
        hook(() => connection.wire.end());
      }
      for (const connection of all) bury(connection, reason);
      tell("close", reason);
      listeners.clear();
    },
    stats,
  };
  return { target, connect, isDraining: () => draining };
}
