// What the far side lost, what waits for it, and the counters: loss_is_seen, bounded.
import type { Subscription } from "../../types.js";
import { ensure, ensureEqual, FENCE, type Stage, show, unique } from "../stage.js";
import { control, denied, topicOf } from "../wire.js";
import { asked, ending, faultOf, hasCode, nearOf, notices, numbered, subscribe, wireOf } from "./far.js";

const TURN = Symbol("a turn");
const turn = () => new Promise<typeof TURN>((resolve) => setTimeout(resolve, 0, TURN));

/** An item of a subscription in few words, to be compared. */
export function word(item: unknown): string {
  const { type, missed, reason, payload } = item as { [member: string]: unknown };
  if (type === "__lagged") return `lagged ${String(missed)}`;
  return type === "__gap" ? `gap ${String(reason)}` : String(payload);
}

/** The one that was asked for when nothing waited. */
const asking = new WeakMap<object, ReturnType<Subscription<unknown>["next"]>>();

/** The items that wait. */
export async function waiting(events: Pick<Subscription<unknown>, "next">): Promise<string[]> {
  const words: string[] = [];
  for (;;) {
    const next = asking.get(events) ?? events.next().catch(() => ({ done: true as const, value: undefined }));
    asking.set(events, next);
    const found = await Promise.race([next, turn()]);
    if (found === TURN || found.done) return words;
    asking.delete(events);
    words.push(word(found.value));
  }
}

const gap = (topic: string | undefined, missed: number | null, reason: string) =>
  control("gap", { ...(topic !== undefined && { topic }), missed, reason });

/** What the hub says was lost is an item in its place; neighbours merge and are never dropped. */
export async function lossIsSeenFar(stage: Stage): Promise<void> {
  const { subscriber: target, wait, pubsub } = stage;
  const [type, log, wire] = [unique("call"), stage.log(), wireOf(stage)];
  const topic = `${type}:1`;
  const options = { losses: true, onLoss: () => undefined } as const;
  const [one, other] = [
    pubsub(target).subscribe(type, "1", options),
    pubsub(target).subscribe(type, "2", options),
  ];
  await wait("two subscriptions to be in place", Promise.all([one.ready, other.ready]));
  target.addEventListener("gap", log.listener(1));
  target.addEventListener("error", log.listener(2));
  await stage.listen(target, topic, log.listener(0));
  const event = (number: number) => numbered(type, "1", number);
  for (const text of [
    event(1),
    gap(topic, 3, "slow"),
    event(2),
    gap(topic, null, "too_large"),
    event(3),
    gap(topic, 2, "slow"),
    gap(topic, 5, "slow"),
    event(4),
    gap(undefined, null, "broker"),
    event(5),
    control("gap", { topic }),
    event(6),
    gap(topic, 0, "broker"),
    event(7),
    control("gap", { missed: null, reason: "full_moon", since: 1 }),
    event(FENCE),
  ]) {
    wire.send(text);
  }
  await log.toFence(0);
  const wanted = ["1", "lagged 3", "2", "gap too_large", "3", "lagged 7", "4", "gap broker", "5"];
  // Members that are missing, a number that is none, a reason that is not known.
  const odd = ["gap slow", "6", "gap broker", "7", "gap slow", `${FENCE}`];
  ensureEqual(await waiting(one), [...wanted, ...odd], "after gaps a subscription gives");
  const ofAll = ["gap broker"];
  ensureEqual(await waiting(other), ofAll, "after gaps of all topics another subscription gives");
  const told = notices(log, 1).map(({ topic: of, missed, reason }) => [of ?? "all", missed, reason]);
  const slow = [3, null, 2, 5, null, null, 0, null];
  ensureEqual(
    told.map(([, missed]) => missed),
    slow,
    "notices of gaps told how many were missed",
  );
  ensureEqual(told[0], [topic, 3, "slow"], "the first notice told of");
  ensureEqual(told[4], ["all", null, "broker"], "the notice of a gap of all topics told of");
  ensureEqual(notices(log, 2).length, 0, "gaps told of as errors");
  await Promise.all([one.return(), other.return()]);
}

type Came = { readonly event: number } | { readonly lagged: number } | { readonly gap: string };
const POLICIES = ["drop-oldest", "drop-newest", "error"] as const;

/**
 * What a queue of that capacity holds afterwards, by the plainest of means: each loss is noted where it happened,
 * neighbours are merged at the end. Also how many were lost.
 */
function model(capacity: number, overflow: (typeof POLICIES)[number], came: readonly Came[]) {
  const row: Came[] = [];
  let lost = 0;
  for (const one of came) {
    if ("lagged" in one) lost += one.lagged;
    const isFull = row.filter((waits) => "event" in waits).length >= capacity;
    if (!("event" in one) || !isFull) {
      row.push(one);
      continue;
    }
    lost++;
    if (overflow === "error") break;
    if (overflow === "drop-oldest") {
      row[row.findIndex((waits) => "event" in waits)] = { lagged: 1 };
      row.push(one);
    } else row.push({ lagged: 1 });
  }
  const words: string[] = [];
  let [missed, reason] = [0, ""];
  for (const one of [...row, { event: -1 }]) {
    if ("lagged" in one) missed += one.lagged;
    else if ("gap" in one) reason ||= one.gap;
    else {
      if (missed) words.push(`lagged ${missed}`);
      if (reason) words.push(`gap ${reason}`);
      if (one.event >= 0) words.push(`${one.event}`);
      [missed, reason] = [0, ""];
    }
  }
  return { words, lost };
}

/**
 * What the far side lost and what a subscriber's own queue lost are told together where they are neighbours, and both in
 * their place.
 */
export async function lossIsSeenMerged(stage: Stage): Promise<void> {
  const { subscriber: target, wait, pubsub } = stage;
  const [type, log, wire] = [unique("call"), stage.log(), wireOf(stage)];
  const topic = `${type}:1`;
  const queues = [1, 2, 3, 5, 100].flatMap((capacity) =>
    POLICIES.map((overflow) => {
      const options = { capacity, overflow, losses: true, onLoss: () => undefined } as const;
      return { capacity, overflow, events: pubsub(target).subscribe(type, "1", options) };
    }),
  );
  const placed = Promise.all(queues.map(({ events }) => events.ready));
  await wait("subscriptions to be in place", placed);
  await stage.listen(target, topic, log.listener(0));
  const came: Came[] = [];
  for (let number = 0; number < 40; number++) {
    if (number % 9 === 3) {
      came.push({ lagged: number });
      wire.send(gap(topic, number, "slow"));
    } else if (number % 9 === 4 || number % 9 === 8) {
      came.push({ gap: "broker" });
      wire.send(gap(undefined, null, "broker"));
    } else {
      came.push({ event: number });
      wire.send(numbered(type, "1", number));
    }
  }
  came.push({ event: FENCE });
  wire.send(numbered(type, "1", FENCE));
  await log.toFence(0);
  for (const { capacity, overflow, events } of queues) {
    const { words, lost } = model(capacity, overflow, came);
    ensureEqual(await waiting(events), words, `a queue of ${capacity}, ${overflow}, gives`);
    ensureEqual(events.stats().lost, lost, `a queue of ${capacity}, ${overflow}, counted as lost`);
    await events.return();
  }
}

const LARGE = "x".repeat(16 * 1024);

/** What waits for a far side that does not read is bounded: dispatch gives false and says `full`, or the connection ends, 1013. */
export async function boundedOutbound(stage: Stage): Promise<void> {
  const { subscriber: target, pubsub } = stage;
  const [type, log, fault] = [unique("call"), stage.log(), faultOf(stage)];
  target.addEventListener("error", log.listener(0));
  target.addEventListener("close", log.listener(1));
  await fault.stall?.();
  // What the system's own buffers take is not the target's; 64 MiB are more than they do.
  let taken = 0;
  while (taken < 4096 && pubsub(target).publish(type, "1", LARGE)) taken++;
  ensure(taken < 4096, "64 MiB were taken while the far side read nothing");
  const [ended] = notices(log, 1);
  if (ended) {
    return ensure(hasCode(Number(ended.code), 1013), `a queue that was full ended it with ${show(ended)}`);
  }
  const [first] = notices(log, 0);
  ensureEqual(
    (first?.error as { code?: unknown } | undefined)?.code,
    "full",
    "the event refused was told as",
  );
  await fault.goOn?.();
  await stage.comesTrue("room after the far side went on", () => pubsub(target).publish(type, "1", 1));
}

/** Subscriptions that find the outbound queue full are not dropped: they leave later, or the link ends with 1013. */
export async function boundedControl(stage: Stage): Promise<void> {
  const TOPICS = 5000;
  const { subscriber: target, pubsub } = stage;
  const [type, log, fault, wire] = [unique("call"), stage.log(), faultOf(stage), wireOf(stage)];
  const end = ending(target);
  let ended: unknown;
  void end.then(({ code }) => {
    ended = code;
  });
  await fault.stall?.();
  for (let taken = 0; taken < 4096 && pubsub(target).publish(type, "full", LARGE); taken++);
  for (let number = 0; number < TOPICS; number++)
    target.addEventListener(`${type}:${number}`, log.listener(0));
  await turn();
  if (ended !== undefined) return ensure(hasCode(Number(ended), 1013), `it ended with ${String(ended)}`);
  await fault.goOn?.();
  const last = `${type}:${TOPICS - 1}`;
  await stage.wait(
    "the last of many subscriptions on the wire",
    wire.until((texts) => asked(texts.slice(-1), last) === "s" && true),
  );
  const came = wire.texts.filter((text) => topicOf("subscribe", text)?.startsWith(type));
  ensureEqual(came.length, TOPICS, "subscriptions on the wire after a full outbound queue was read");
}

const counters = (stage: Stage, of = stage.subscriber) => ({ ...(of.stats?.() ?? {}) });

/** The counters of every target: who listens, on how many topics, and what threw. */
export async function counted(stage: Stage): Promise<void> {
  const { subscriber: target, publisher } = stage;
  const [type, log] = [unique("call"), stage.log()];
  const before = counters(stage);
  const since = (name: string) => (counters(stage)[name] ?? Number.NaN) - (before[name] ?? 0);
  const thrower = () => {
    throw new Error("on purpose, to be counted");
  };
  await stage.listen(target, `${type}:1`, log.listener(0));
  await stage.listen(target, `${type}:1`, thrower);
  target.addEventListener("gap", log.listener(2));
  const found = [since("listeners"), since("topics")];
  ensureEqual(found, [3, 1], "with two listeners on a topic and one to a notice more, listeners and topics");
  stage.publish(publisher, type, "1", 1, FENCE);
  await log.toFence(0);
  await stage.comesTrue("two errors to be counted", () => since("errors") === 2);
  target.removeEventListener(`${type}:1`, thrower);
  ensureEqual([since("listeners"), since("topics")], [2, 1], "with a listener fewer, listeners and topics");
  target.close?.();
  const { listeners, topics, links = 0 } = counters(stage);
  ensureEqual([listeners, topics, links], [0, 0, 0], "after the end, listeners, topics and links");
}

/** The counters of a target with a wire: connections, what was sent, what was bad, refused or denied. */
export async function countedWire(stage: Stage): Promise<void> {
  const [type, log, wire, near] = [unique("call"), stage.log(), wireOf(stage), nearOf(stage)];
  const topic = `${type}:1`;
  await subscribe(stage, topic);
  await stage.listen(near, topic, log.listener(0));
  const before = counters(stage, near);
  ensureEqual(before.links, 1, "links");
  stage.publish(near, type, "1", 1, 2, 3);
  ensureEqual(stage.pubsub(near).publish(type, "1", "x".repeat(1 << 24)), false, "dispatching 16 MiB gave");
  wire.send("no envelope");
  wire.send(
    wire.far === "hub"
      ? denied(topic, "not_allowed", "publish")
      : control("subscribe", { topic: "no topic" }),
  );
  wire.send(numbered(type, "1", FENCE));
  await log.toFence(0);
  const names = ["sent", "received", "bad_input", "rejected", "denied"];
  const now = () => {
    const all = counters(stage, near);
    return names.map((name) => (all[name] ?? Number.NaN) - (before[name] ?? 0));
  };
  ensureEqual(now(), [3, 1, 1, 1, 1], `counted were, as ${names.join(", ")},`);
}
