import { check, choice } from "./check.js";
import { PubSubError, report } from "./errors.js";
import { createQueue, isLoss, lagged } from "./queue.js";
import { Repeater } from "./repeater.js";
import type {
  EventEnvelope,
  Gap,
  Loss,
  Notices,
  OnLoss,
  Readiness,
  SubscribeOptions,
  Subscription,
  SubscriptionEnd,
  TypedEvent,
} from "./types.js";

/** As many calls of `next()` may wait as with a bare Repeater. */
const MOST_WAITING = 1024;

type Result = IteratorResult<EventEnvelope | Loss, unknown>;
const done = (value?: unknown): Result => ({ value, done: true });

/** What a subscription needs of its pubsub. */
export interface Home {
  listen(topic: string, listener: (event: TypedEvent) => void): void;
  unlisten(topic: string, listener: (event: TypedEvent) => void): void;
  /** Asks the target whether a topic is in place. */
  ready(topic: string): Promise<Readiness>;
  report(error: unknown): void;
  /** For subscriptions without their own. */
  readonly onLoss: OnLoss | undefined;
  /**
   * Those that listen: notices go to them, and the end of the pubsub.
   *
   * @throws PubSubError `closed`.
   */
  enter(member: Member): void;
  leave(member: Member): void;
}

/** How the pubsub speaks to a subscription. */
export interface Member {
  notice(event: TypedEvent): void;
  /** No event comes any more; what waits is still read, then the failure if there is one. */
  stop(end: SubscriptionEnd, failure?: { readonly error: unknown }): void;
}

/** Nobody has asked for anything. */
const INITIAL = 0;
const LIVE = 1;
/** No event comes any more; what waits is still read. */
const DRAINING = 2;
const DONE = 3;

/**
 * A Repeater by its type and to `instanceof`, with an engine of its own: one microtask for each item, where
 * repeaterjs takes several, no promise for an event that waits, and listeners that are gone when `return()` returns.
 */
export function createSubscription(
  home: Home,
  /** From types to the ids that are asked for. */
  wanted: Map<string, Set<string>>,
  {
    capacity = 1024,
    overflow,
    losses = false,
    onLoss = home.onLoss,
    signal,
  }: SubscribeOptions & { readonly losses?: boolean },
): Subscription<EventEnvelope | Loss> {
  check(Number.isInteger(capacity) && capacity > 0, "capacity", "a whole number from 1 on", capacity);
  choice("overflow", overflow ?? "error");
  // As a set, for "a" + "b:c" and "a:b" + "c" share a topic.
  const names = new Set<string>();
  for (const [type, ids] of wanted) for (const id of ids) names.add(`${type}:${id}`);
  const topics = [...names];
  const queue = createQueue(losses);
  const waiting: ((result: Result) => void)[] = [];
  let state = INITIAL;
  let end: SubscriptionEnd | undefined;
  let failure: { readonly error: unknown } | undefined;
  let readiness: Promise<Readiness> | undefined;
  let delivered = 0;
  let lost = 0;
  let gaps = 0;

  const listener = ({ detail }: TypedEvent) => {
    const envelope = detail as EventEnvelope | null | undefined;
    if (state !== LIVE || !envelope || !wanted.get(envelope.type)?.has(envelope.id)) return;
    const answer = waiting.shift();
    if (answer) {
      delivered++;
      answer({ value: envelope, done: false });
    } else if (queue.size < capacity) queue.push(envelope);
    else {
      const loss = lagged(1);
      if (overflow === "drop-newest") queue.lose(loss);
      else if (overflow === "error") {
        const message = `more than ${capacity} events wait to be read on ${topics}`;
        member.stop({ reason: "overflow" }, { error: new PubSubError("overflow", message) });
      } else {
        queue.dropOldest();
        queue.push(envelope);
      }
      tell(loss);
    }
  };

  const tell = (loss: Loss) => {
    const first = !lost && !gaps;
    if (loss.type === "__lagged") lost += loss.missed;
    else gaps++;
    if (onLoss) {
      try {
        onLoss(loss, topics);
      } catch (error) {
        home.report(error);
      }
    } else if (!losses && !overflow) {
      // Who chose nothing is told once that there is something to choose.
      if (first) report(`events were lost on ${topics}: see onLoss, losses, overflow`);
    }
  };

  const member: Member = {
    notice({ type, detail }) {
      const {
        topic,
        missed,
        action,
        reason = "",
      } = Object(detail) as Partial<Notices["gap"] & Notices["denied"]>;
      if (topic !== undefined && !topics.includes(topic)) return;
      if (type === "close") member.stop({ reason: "closed", detail: reason });
      else if (type === "denied") {
        if (action !== "publish") member.stop({ reason: "denied", detail: reason });
      } else {
        const gap: Gap = { type: "__gap", reason, ...(topic !== undefined && { topic }) };
        const loss: Loss = missed ? lagged(missed) : gap;
        const answer = losses && waiting.shift();
        if (answer) answer({ value: loss, done: false });
        else queue.lose(loss);
        tell(loss);
      }
    },
    stop(why, error) {
      if (state < DRAINING) leave(DRAINING, why, error);
    },
  };

  const unlisten = () => {
    for (const topic of topics) home.unlisten(topic, listener);
  };

  const leave = (next: number, why: SubscriptionEnd, error?: { readonly error: unknown }) => {
    const live = state === LIVE;
    state = next;
    end ??= why;
    failure = error;
    if (live) {
      signal?.removeEventListener("abort", abort);
      home.leave(member);
      unlisten();
    }
    for (const answer of waiting.splice(0)) answer(done());
  };

  /** Ends it at once: what waits is dropped. */
  const finish = (reason: SubscriptionEnd["reason"]) => {
    if (state !== DONE) leave(DONE, { reason });
    while (queue.shift());
  };
  const abort = () => finish("aborted");

  const start = () => {
    if (state !== INITIAL) return;
    if (signal?.aborted) return abort();
    state = LIVE;
    try {
      signal?.addEventListener("abort", abort, { once: true });
      home.enter(member);
      for (const topic of topics) home.listen(topic, listener);
    } catch (error) {
      // What was closed says so by refusing a listener.
      if (Object(error).code === "closed") member.stop({ reason: "closed" });
      else member.stop({ reason: "failed" }, { error });
    }
    // The target may have ended it from within.
    if (state !== LIVE) unlisten();
  };

  const ask = async (): Promise<Readiness> => {
    const answers = await Promise.all(topics.map(async (topic) => ({ ...(await home.ready(topic)), topic })));
    if (end?.reason === "denied") return { status: "denied", reason: end.detail ?? "" };
    if (end) return { status: "closed" };
    const first = (status: Readiness["status"]) => answers.find((one) => one.status === status);
    const last = (first("denied") ?? first("closed")) as (Readiness & { status: "denied" }) | undefined;
    if (last) member.stop({ reason: last.status, detail: last.reason });
    return last ?? first("unconfirmed") ?? { status: "confirmed" };
  };

  const subscription: ThisType<Subscription<EventEnvelope | Loss>> & object = {
    next() {
      start();
      const value = queue.shift();
      if (value) {
        if (!isLoss(value)) delivered++;
        return Promise.resolve({ value, done: false });
      }
      if (state >= DRAINING) {
        const failed = failure;
        failure = undefined;
        state = DONE;
        return failed ? Promise.reject(failed.error) : Promise.resolve(done());
      }
      if (waiting.length >= MOST_WAITING) {
        return Promise.reject(new PubSubError("overflow", `${MOST_WAITING} calls of next() wait`));
      }
      return new Promise((resolve) => waiting.push(resolve));
    },
    return(value: unknown) {
      finish("returned");
      return Promise.resolve(value).then(done);
    },
    throw(error: unknown) {
      finish("returned");
      return Promise.reject(error);
    },
    get ready() {
      start();
      readiness ??= ask();
      return readiness;
    },
    get end() {
      return end;
    },
    stats: () => ({ queued: queue.size, delivered, lost, gaps }),
  };
  return Object.setPrototypeOf(subscription, Repeater.prototype);
}
