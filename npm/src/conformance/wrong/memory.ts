// A target in one memory, written again and naively, with one flaw at choice.
import { PubSubError } from "../../errors.js";
import type { Capabilities, Readiness } from "../../types.js";
import type { Fixture, Target, TargetEvent, TargetListener } from "../fixture.js";

/** What such a target can do wrong, and the laws that see it. */
export const memoryFlaws = {
  Drops: ["drops one event in seven", "delivers_once", "order"],
  DoublesAll: ["delivers every event twice", "delivers_once", "order", "reentrant_depth"],
  Doubles: ["delivers one event in seven twice", "delivers_once", "order"],
  Reorders: ["delivers one event in ten after the next", "order"],
  ReordersTopics: [
    "delivers one event in ten after the next, if that is of another topic",
    "order_across_topics",
    "order_subscription",
  ],
  MatchesPrefix: [
    "delivers to every listener whose topic is the beginning of the event's",
    "delivers_once_exact_topic",
  ],
  FoldsCase: ["compares topics without regard to case", "delivers_once_exact_topic"],
  Wildcards: ["takes the id * for all ids", "delivers_once_exact_topic"],
  CallsInReverse: ["calls the listener added last first", "many_listeners"],
  AddsTwice: ["takes a listener that is added twice for two", "many_listeners_same"],
  OneTopicEach: ["takes a listener for one topic alone", "many_listeners_same"],
  LooksUpEarly: ["looks up handleEvent when the listener is added", "many_listeners_handle_event"],
  DetachesHandleEvent: ["calls handleEvent without its object", "many_listeners_handle_event"],
  Leaks: ["removes nothing", "removal", "removal_on_drop"],
  UnknownRemovesNewest: [
    "removes the newest listener where it is given one that it does not know",
    "removal",
  ],
  CallsRemovedInDispatch: [
    "goes through its list to the end, whoever was removed meanwhile",
    "removal_during_dispatch",
  ],
  IgnoresOnce: ["calls a listener added with `once` every time", "removal_once"],
  OnceAfterCall: ["removes a listener added with `once` when its call is over", "removal_once"],
  IgnoresSignal: ["does not look at a listener's signal", "removal_signal"],
  NewHearsEventUnderWay: ["calls a listener that was added during a dispatch with that event", "reentrant"],
  DefersNested: ["dispatches an event that a listener publishes after the one under way", "reentrant_nested"],
  DefersNestedTwice: [
    "dispatches what a listener publishes at once, but what a listener of that publishes later",
    "reentrant_depth",
  ],
  ThrowGoesThrough: ["lets what a listener throws through to the publisher", "isolation"],
  ThrowStopsOthers: ["does not call the listeners after one that throws", "isolation"],
  ThrowNotTold: ["keeps what a listener throws to itself", "isolation"],
  ThrowToldTwice: ["reports what a listener throws twice", "isolation"],
  Copies: ["hands out a copy of the payload, made by way of JSON", "round_trip_reference"],
  UndefinedBecomesNull: ["gives no payload as null", "round_trip"],
  FalseBecomesNull: ["gives whatever is false in a condition as null", "round_trip"],
  NoEcho: ["does not let a publisher hear itself while it publishes to others", "echo"],
  EchoesTwice: ["lets a publisher hear itself twice", "echo"],
  DropsBacklog: ["drops the 17th to the 24th event of a turn, without a word", "loss_is_seen", "bounded"],
  ConfirmsTooEarly: [
    "says that a subscription is in place when it is asked for",
    "ready",
    "ready_first_next",
  ],
  CloseNotTold: ["ends without a close notice", "close"],
  CloseToldTwice: ["gives the close notice once more when it is closed twice", "close", "close_in_listener"],
  AddsAfterClose: ["takes listeners after its end, whom it never calls", "close"],
  TakesAfterClose: ["says yes to events after its end", "close", "close_in_listener"],
  HeardWhileClosing: ["delivers what is published while the close notices are given", "close_in_listener"],
} as const satisfies Record<string, readonly [string, ...string[]]>;

export type MemoryFlaw = keyof typeof memoryFlaws;

interface Entry {
  topic: string;
  readonly listener: TargetListener;
  readonly handle: ((event: TargetEvent) => void) | undefined;
  readonly once: boolean;
  live: boolean;
}

const capabilities: Capabilities = {
  echo: true,
  order: "connection",
  carries: "reference",
  lifetime: "outlives",
  confirms: true,
};

/** Two handles to one memory: who publishes at one is heard at both. */
export function memory(flaw?: MemoryFlaw): Fixture {
  return {
    capabilities,
    offers: { reports: true, close: true },
    deadline: flaw === undefined ? 5_000 : 300,
    peers() {
      const reported: unknown[] = [];
      const target = createMemory(flaw, reported);
      return { publisher: target, subscribers: [target], reported };
    },
  };
}

export function createMemory(flaw: MemoryFlaw | undefined, reported: unknown[]): Target {
  let entries: Entry[] = [];
  let count = 0;
  let backlog = 0;
  let depth = 0;
  let closing = false;
  let closed = false;
  let held: TargetEvent | undefined;
  const deferred: TargetEvent[] = [];

  const matches = (entry: string, topic: string) =>
    entry === topic ||
    (flaw === "MatchesPrefix" && topic.startsWith(entry)) ||
    (flaw === "FoldsCase" && topic.toLowerCase() === entry.toLowerCase()) ||
    (flaw === "Wildcards" && entry.endsWith(":*") && topic.startsWith(entry.slice(0, -1)));

  const call = (entry: Entry, event: TargetEvent) => {
    if (entry.once && flaw !== "IgnoresOnce" && flaw !== "OnceAfterCall") drop(entry);
    try {
      const { listener } = entry;
      if (entry.handle !== undefined) entry.handle(event);
      else if (typeof listener === "function") listener.call(target, event);
      else if (flaw === "DetachesHandleEvent") listener.handleEvent.call(undefined, event);
      else listener.handleEvent(event);
    } catch (error) {
      if (flaw === "ThrowGoesThrough") throw error;
      if (flaw !== "ThrowNotTold") reported.push(error);
      if (flaw === "ThrowToldTwice") reported.push(error);
      if (flaw === "ThrowStopsOthers") return false;
    } finally {
      if (entry.once && flaw === "OnceAfterCall") drop(entry);
    }
    return true;
  };

  const drop = (entry: Entry) => {
    entry.live = false;
    entries = entries.filter((other) => other !== entry);
  };

  const deliver = (event: TargetEvent) => {
    depth += 1;
    try {
      const of = () => entries.filter((entry) => matches(entry.topic, event.type));
      const called = new Set<Entry>();
      const run = (list: Entry[]) => {
        for (const entry of list) {
          called.add(entry);
          if (!entry.live && flaw !== "CallsRemovedInDispatch") continue;
          if (!call(entry, event)) return;
        }
      };
      run(flaw === "CallsInReverse" ? of().reverse() : of());
      if (flaw === "NewHearsEventUnderWay") run(of().filter((entry) => !called.has(entry)));
    } finally {
      depth -= 1;
    }
  };

  const changed = (event: TargetEvent): TargetEvent => {
    const detail = event.detail as { payload?: unknown };
    const { payload } = detail;
    const give = (other: unknown) => ({ type: event.type, detail: { ...detail, payload: other } });
    if (flaw === "Copies" && typeof payload === "object" && payload !== null) {
      return give(Array.isArray(payload) ? [...payload] : { ...payload });
    }
    if (flaw === "UndefinedBecomesNull" && payload === undefined) return give(null);
    if (flaw === "FalseBecomesNull") return give(payload || null);
    return event;
  };

  /** How often, and which, of an event and one that was held back. */
  const plan = (event: TargetEvent): TargetEvent[] => {
    count += 1;
    if (flaw === "Drops" && count % 7 === 0) return [];
    if (flaw === "Doubles" && count % 7 === 0) return [event, event];
    if (flaw === "EchoesTwice" || flaw === "DoublesAll") return [event, event];
    if (flaw === "NoEcho") return [];
    if (flaw === "Reorders" || flaw === "ReordersTopics") {
      const before = held;
      held = undefined;
      if (before !== undefined) {
        const other = flaw === "Reorders" || before.type !== event.type;
        return other ? [event, before] : [before, event];
      }
      if (count % 10 === 0) {
        held = event;
        return [];
      }
    }
    if (flaw === "DropsBacklog") {
      if (backlog === 0) queueMicrotask(() => (backlog = 0));
      backlog += 1;
      if (backlog > 16 && backlog <= 24) return [];
    }
    return [event];
  };

  const target = {
    capabilities,
    addEventListener(
      topic: string,
      listener: TargetListener | null,
      options?: { once?: boolean; signal?: AbortSignal } | boolean,
    ) {
      if (listener === null) return;
      if (closed && flaw !== "AddsAfterClose") throw new PubSubError("closed", "the target is closed");
      const { once = false, signal } = typeof options === "object" ? options : {};
      if (signal?.aborted === true && flaw !== "IgnoresSignal") return;
      const known = entries.find(
        (entry) => entry.listener === listener && (entry.topic === topic || flaw === "OneTopicEach"),
      );
      if (known !== undefined && flaw !== "AddsTwice") {
        known.topic = topic;
        return;
      }
      const early = flaw === "LooksUpEarly" && typeof listener === "object";
      const handle = early ? listener.handleEvent.bind(listener) : undefined;
      const entry: Entry = { topic, listener, handle, once, live: true };
      const add = () => {
        entries.push(entry);
        if (flaw !== "IgnoresSignal") signal?.addEventListener("abort", () => drop(entry), { once: true });
      };
      // A turn later than `ready` says.
      if (flaw === "ConfirmsTooEarly") setTimeout(add);
      else add();
    },
    removeEventListener(topic: string, listener: TargetListener | null) {
      if (flaw === "Leaks" || listener === null) return;
      const known = entries.find((entry) => entry.topic === topic && entry.listener === listener);
      if (known !== undefined) drop(known);
      else if (flaw === "UnknownRemovesNewest") entries.pop();
    },
    dispatchEvent(event: TargetEvent): boolean {
      if (closed && flaw === "TakesAfterClose") return true;
      if (closed && !(closing && flaw === "HeardWhileClosing"))
        throw new PubSubError("closed", "the target is closed");
      for (const each of plan(changed(event))) {
        const most =
          flaw === "DefersNested" ? 0 : flaw === "DefersNestedTwice" ? 1 : Number.POSITIVE_INFINITY;
        if (depth > most) deferred.push(each);
        else deliver(each);
      }
      while (depth === 0 && deferred.length > 0) deliver(deferred.shift() as TargetEvent);
      return true;
    },
    ready: async (): Promise<Readiness> => ({ status: closed ? "closed" : "confirmed" }),
    close() {
      if (closed && flaw !== "CloseToldTwice") return;
      closed = true;
      closing = true;
      if (flaw !== "CloseNotTold") deliver({ type: "close", detail: { reason: "closed by the program" } });
      closing = false;
      if (flaw !== "CloseToldTwice") entries = [];
    },
  };
  return target;
}
