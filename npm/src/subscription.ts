import { PubSubError } from "./errors.js";
import { Queue } from "./queue.js";
import { Repeater } from "./repeater.js";
import type {
  AbortSignalLike,
  EventEnvelope,
  Gap,
  Loss,
  Notices,
  OnLoss,
  Overflow,
  Readiness,
  Subscription,
  SubscriptionEnd,
  SubscriptionStats,
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
  readonly closed: boolean;
  /** From now on notices come here, and the end of the pubsub. */
  enter(subscription: EnvelopeSubscription): void;
  leave(subscription: EnvelopeSubscription): void;
  report(error: unknown): void;
}

export interface Settings {
  readonly capacity: number;
  readonly overflow: Overflow | undefined;
  readonly losses: boolean;
  readonly onLoss: OnLoss | undefined;
  readonly signal: AbortSignalLike | undefined;
}

enum State {
  /** Nobody has asked for anything. */
  Initial,
  Live,
  /** No event comes any more; what waits is still read. */
  Draining,
  Done,
}

/**
 * A Repeater by its type and to `instanceof`, with an engine of its own: one microtask for each item, where
 * repeaterjs takes five (and two if it was queued), and no promise for an event that waits.
 */
export class EnvelopeSubscription
  extends Repeater<EventEnvelope | Loss>
  implements Subscription<EventEnvelope | Loss>
{
  private readonly home: Home;
  private readonly settings: Settings;
  /** From types to the ids that are asked for. */
  private readonly wanted: Map<string, Set<string>>;
  private readonly topics: readonly string[];
  private readonly queue: Queue<EventEnvelope>;
  private readonly waiting: ((result: Result) => void)[];
  private state: State;
  private failure: { readonly error: unknown } | undefined;
  private readiness: Promise<Readiness> | undefined;
  private readonly counts: { delivered: number; lost: number; gaps: number };
  private readonly listener: (event: TypedEvent) => void;
  private readonly abort: () => void;
  end: SubscriptionEnd | undefined;

  constructor(home: Home, wanted: Map<string, Set<string>>, settings: Settings) {
    super(() => undefined); // never called: next() is ours
    this.home = home;
    this.settings = settings;
    this.wanted = wanted;
    const topics = new Set<string>();
    for (const [type, ids] of wanted) for (const id of ids) topics.add(`${type}:${id}`);
    this.topics = [...topics];
    this.queue = new Queue(settings.losses);
    this.waiting = [];
    this.state = State.Initial;
    this.counts = { delivered: 0, lost: 0, gaps: 0 };
    this.listener = ({ detail }) => {
      // A type "a" with the id "b:c" has the topic of "a:b" with the id "c"; the envelope tells them apart.
      const envelope = detail as EventEnvelope | null | undefined;
      if (envelope && this.wanted.get(envelope.type)?.has(envelope.id)) this.take(envelope);
    };
    this.abort = () => this.finish({ reason: "aborted" });
  }

  override next(): Promise<Result> {
    if (this.state === State.Initial) this.start();
    const item = this.queue.shift();
    if (item !== undefined) {
      if (!item.type.startsWith("__")) this.counts.delivered++;
      return Promise.resolve({ value: item, done: false });
    }
    if (this.state >= State.Draining) {
      this.state = State.Done;
      const { failure } = this;
      this.failure = undefined;
      return failure ? Promise.reject(failure.error) : Promise.resolve(done());
    }
    if (this.waiting.length >= MOST_WAITING) {
      return Promise.reject(new PubSubError("overflow", `${MOST_WAITING} calls of next() wait already`));
    }
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  override return(value?: unknown): Promise<Result> {
    this.finish({ reason: "returned" });
    return Promise.resolve(value).then(done);
  }

  override throw(error: unknown): Promise<Result> {
    this.finish({ reason: "returned" });
    return Promise.reject(error);
  }

  get ready(): Promise<Readiness> {
    if (!this.readiness) {
      if (this.state === State.Initial) this.start();
      this.readiness = this.ask();
    }
    return this.readiness;
  }

  stats(): SubscriptionStats {
    return { queued: this.queue.size, ...this.counts };
  }

  /** A notice of the target. Those of other topics are not for this subscription. */
  notice<K extends keyof Notices>(name: K, detail: Notices[K]): void;
  notice(
    name: string,
    { topic, missed, action, reason = "" }: Partial<Notices["gap"] & Notices["denied"]>,
  ): void {
    if (topic !== undefined && !this.topics.includes(topic)) return;
    if (name === "close") this.stop({ reason: "closed", detail: reason });
    else if (name === "denied" && action !== "publish") this.stop({ reason: "denied", detail: reason });
    else if (name === "gap") {
      const gap: Gap = { type: "__gap", reason, ...(topic !== undefined && { topic }) };
      this.lose(typeof missed === "number" ? { type: "__lagged", missed } : gap);
    }
  }

  /** No event comes any more; what waits is still read, then the failure if there is one. */
  stop(end: SubscriptionEnd, failure?: { readonly error: unknown }): void {
    if (this.state >= State.Draining) return;
    this.leave(State.Draining, end);
    this.failure = failure;
    this.answer();
  }

  /** Ends it at once: what waits is dropped. */
  private finish(end: SubscriptionEnd): void {
    if (this.state === State.Done) return;
    this.leave(State.Done, end);
    this.failure = undefined;
    this.queue.clear();
    this.answer();
  }

  /** Whoever waits is done. */
  private answer(): void {
    for (const resolve of this.waiting.splice(0)) resolve(done());
  }

  private start(): void {
    const { home, settings } = this;
    this.state = State.Live;
    if (home.closed) return this.stop({ reason: "closed" });
    if (settings.signal?.aborted) return this.finish({ reason: "aborted" });
    settings.signal?.addEventListener("abort", this.abort, { once: true });
    try {
      home.enter(this);
      for (const topic of this.topics) home.listen(topic, this.listener);
    } catch (error) {
      // A target that was closed says so by refusing a listener.
      const closed = error instanceof PubSubError && error.code === "closed";
      this.stop({ reason: closed ? "closed" : "failed" }, closed ? undefined : { error });
    }
  }

  private leave(state: State, end: SubscriptionEnd): void {
    const live = this.state === State.Live;
    this.state = state;
    this.end ??= end;
    if (!live) return;
    this.settings.signal?.removeEventListener("abort", this.abort);
    this.home.leave(this);
    for (const topic of this.topics) this.home.unlisten(topic, this.listener);
  }

  private async ask(): Promise<Readiness> {
    const answers = await Promise.all(this.topics.map((topic) => this.home.ready(topic)));
    const { end } = this;
    if (end) {
      return end.reason === "denied" ? { status: "denied", reason: end.detail ?? "" } : { status: "closed" };
    }
    for (const worst of ["denied", "closed", "unconfirmed"]) {
      const at = answers.findIndex(({ status }) => status === worst);
      const answer = answers[at];
      if (answer)
        return answer.status === "denied" ? { topic: this.topics[at] as string, ...answer } : answer;
    }
    return { status: "confirmed" };
  }

  private take(envelope: EventEnvelope): void {
    if (this.state !== State.Live) return;
    const { queue, counts } = this;
    const waiting = this.waiting.shift();
    if (waiting) {
      counts.delivered++;
      return waiting({ value: envelope, done: false });
    }
    if (queue.size < this.settings.capacity) return queue.push(envelope);
    const { overflow } = this.settings;
    if (overflow === "error") {
      counts.lost++;
      const message = `${queue.size} events wait to be read on ${this.topics.join(", ")}, and there is no room for more`;
      this.stop({ reason: "overflow" }, { error: new PubSubError("overflow", message) });
      this.tell({ type: "__lagged", missed: 1 });
    } else if (overflow === "drop-newest") this.lose({ type: "__lagged", missed: 1 });
    else {
      queue.dropOldest();
      queue.push(envelope);
      counts.lost++;
      this.tell({ type: "__lagged", missed: 1 });
    }
  }

  /** Counts a loss behind all that waits, keeps it in its place if that is asked for, and tells of it. */
  private lose(loss: Loss): void {
    const gap = loss.type === "__gap" ? loss : undefined;
    const missed = loss.type === "__lagged" ? loss.missed : 0;
    this.counts.lost += missed;
    if (gap) this.counts.gaps++;
    if (this.settings.losses) {
      const waiting = this.waiting.shift();
      if (waiting) waiting({ value: loss, done: false });
      else this.queue.lose(missed, gap);
    }
    this.tell(loss);
  }

  private tell(loss: Loss): void {
    const { onLoss, losses, overflow } = this.settings;
    try {
      if (onLoss) return onLoss(loss, this.topics);
    } catch (error) {
      this.home.report(error);
    }
    // Who chose nothing is told once that there is something to choose.
    const { lost, gaps } = this.counts;
    if (!losses && !overflow && lost + gaps === 1 && typeof console === "object") {
      console.warn(
        `@alkdev/pubsub: events are lost on ${this.topics.join(", ")}; see onLoss, losses and overflow of subscribe()`,
      );
    }
  }
}
