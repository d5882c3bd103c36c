// A target that outlives its connections: what an interruption leaves behind, and what not: connection_loss.
import type { Fault, Target } from "../fixture.js";
import { ensure, ensureEqual, FENCE, type Log, type Stage, unique } from "../stage.js";
import { denied, envelope, subscribed, type Wire } from "../wire.js";
import { asked, askedByNow, asking, ending, faultOf, notices, numbered, untilAsked, wireOf } from "./far.js";
import { waiting } from "./loss.js";

const CONFIRMED = { status: "confirmed" };
const LOSSES = { losses: true, onLoss: () => undefined } as const;

/** What these laws work with. */
interface Scene {
  readonly wire: Wire;
  readonly fault: Fault;
  readonly target: Target;
  readonly type: string;
  readonly log: Log;
  topic(id: string): string;
  /** The hub sends an event. */
  event(id: string, number: number): void;
  /** The connection breaks, and a new one is there on which this topic was asked for: `s` for each time so far. */
  interrupt(topic: string, asked: string): Promise<void>;
  /** Waits until all that the hub has sent on this connection was handled. The fence's topic is confirmed by it. */
  fence(): Promise<void>;
  /** Gaps of a topic that were told. */
  gaps(topic: string): number;
}

/** With the fence's own topic confirmed. */
async function setScene(stage: Stage): Promise<Scene> {
  const [wire, fault, target, type] = [wireOf(stage), faultOf(stage), stage.subscriber, unique("call")];
  const [log, fences] = [stage.log(), stage.log()];
  const topic = (id: string) => `${type}:${id}`;
  const event = (id: string, number: number) => wire.send(numbered(type, id, number));
  let count = 0;
  target.addEventListener("gap", fences.listener(1));
  await stage.listen(target, topic("fence"), fences.listener(0));
  return {
    wire,
    fault,
    target,
    type,
    log,
    topic,
    event,
    async interrupt(topic, wanted) {
      await fault.cut();
      await fault.heal();
      await untilAsked(stage, topic, wanted);
    },
    async fence() {
      const before = asked(wire.texts, topic("fence"));
      await untilAsked(stage, topic("fence"), before);
      wire.send(subscribed(topic("fence")));
      event("fence", FENCE);
      count += 1;
      await fences.toFence(0, count);
    },
    gaps: (of) => notices(fences, 1).filter((gap) => gap.topic === of).length,
  };
}

/** Nothing tells that a connection is down but the attempt. */
const down = (stage: Stage, target: Target) =>
  stage.comesTrue(
    "publishing to give false, without a connection",
    () => !stage.pubsub(target).publish("conformance.probe", "", undefined),
  );

/**
 * A target that outlives its connections takes nothing meanwhile and says so, queues nothing, and tells of the gap
 * between the old connection's last event and the new one's first.
 */
export async function connectionLossOutlives(stage: Stage): Promise<void> {
  const { subscriber: target, publisher, pubsub, wait } = stage;
  const [type, log, fault] = [unique("call"), stage.log(), faultOf(stage)];
  const topic = `${type}:1`;
  const events = pubsub(target).subscribe(type, "1", LOSSES);
  await wait("a subscription to be in place", events.ready);
  for (const [by, name] of ["", "close", "gap", "error"].entries())
    if (name) target.addEventListener(name, log.listener(by));
  await stage.listen(target, topic, log.listener(0));
  stage.publish(publisher, type, "1", 1, FENCE);
  await log.toFence(0);
  await fault.cut();
  await stage.comesTrue(
    "publishing to give false, without a connection",
    () => !pubsub(target).publish(type, "lost", 7),
  );
  const [first] = notices(log, 3);
  const { code } = Object(first?.error) as { code?: unknown };
  ensureEqual(code, "disconnected", "an event that was not taken was told as");
  await fault.heal();
  await log.until("the gap notice after the connection came back", (calls) =>
    calls.some(({ by, event }) => by === 2 && (event.detail as { topic?: unknown }).topic === topic),
  );
  await wait("the topic to be in place", Promise.resolve(stage.fixture.inPlace?.(target, topic)));
  const lost = stage.peers.wire?.texts.filter((text) => envelope(text).id === "lost") ?? [];
  // Until it was known that the connection is gone, some may have been taken; they were lost with it, or before.
  const before = notices(log, 2).length;
  stage.publish(publisher, type, "1", 2, FENCE);
  await log.toFence(0, 2);
  ensureEqual(notices(log, 2).length, before, "gaps told, with those before the topic was confirmed anew,");
  ensureEqual(
    await waiting(events),
    ["1", `${FENCE}`, "gap disconnected", "2", `${FENCE}`],
    "across the interruption a subscription gives",
  );
  ensureEqual(lost, [], "events published without a connection and sent afterwards");
  ensureEqual([events.end, notices(log, 1).length], [undefined, 0], "an interruption was told as an end");
  await events.return();
}

/**
 * Without a connection a subscription is neither in place nor lost: who waits for it waits for the next connection; and
 * the counters know of no link.
 */
export async function connectionLossReady(stage: Stage): Promise<void> {
  const { subscriber: target, publisher, wait } = stage;
  const [type, log, fault] = [unique("call"), stage.log(), faultOf(stage)];
  const links = () => target.stats?.().links;
  await stage.listen(target, `${type}:held`, log.listener(0));
  ensureEqual(links(), 1, "with a connection, links");
  await fault.cut();
  await down(stage, target);
  target.addEventListener(`${type}:new`, log.listener(1));
  const both = [asking(target, `${type}:held`), asking(target, `${type}:new`)];
  for (const one of both) ensure(await one.isOpen(), "a subscription was settled without a connection");
  ensureEqual(links(), 0, "without a connection, links");
  await fault.heal();
  for (const { answered } of both) {
    const found = await wait("subscriptions to be confirmed on the next connection", answered);
    ensureEqual(found, CONFIRMED, "on the next connection a subscription is");
  }
  ensureEqual(links(), 1, "with the next connection, links");
  for (const [by, id] of ["held", "new"].entries()) {
    stage.publish(publisher, type, id, FENCE);
    ensureEqual(await log.toFence(by), [FENCE], `on the next connection, topic ${id} heard`);
  }
}

/**
 * However many connections were lost before the topic is confirmed anew, one gap is told, then: after the old
 * connection's last event and before the new one's first. The notice and the items of streams agree.
 */
export async function connectionLossGap(stage: Stage): Promise<void> {
  const scene = await setScene(stage);
  const { wire, target, log } = scene;
  const topic = scene.topic("1");
  const events = stage.pubsub(target).subscribe(scene.type, "1", LOSSES);
  await stage.wait("a subscription to be in place", events.ready);
  const order: unknown[] = [];
  target.addEventListener("gap", ({ detail }) => {
    if ((detail as { topic?: unknown }).topic === topic) order.push(detail);
  });
  target.addEventListener(topic, ({ detail }) => order.push((detail as { payload: unknown }).payload));
  await stage.listen(target, topic, log.listener(0));
  scene.event("1", 1);
  scene.event("1", FENCE);
  await log.toFence(0);
  wire.answer(false);
  await scene.interrupt(topic, "ss");
  await scene.interrupt(topic, "sss");
  await scene.fence();
  ensureEqual(scene.gaps(topic), 0, "gaps told before the topic was confirmed anew");
  wire.send(subscribed(topic));
  scene.event("1", 2);
  scene.event("1", FENCE);
  await log.toFence(0, 2);
  const fence = `${FENCE}`;
  const across = ["1", fence, "gap disconnected", "2", fence];
  ensureEqual(await waiting(events), across, "across two interruptions a stream gives");
  const notice = { missed: null, reason: "disconnected", topic };
  ensureEqual(order, [1, FENCE, notice, 2, FENCE], "across two interruptions listeners were told");

  // An event that comes ahead of the answer has its gap before it, too; the last one comes with the answer.
  await scene.interrupt(topic, "ssss");
  scene.event("1", 3);
  wire.send(subscribed(topic));
  scene.event("1", 4);
  await scene.fence();
  const gap = "gap disconnected";
  const items = await waiting(events);
  ensureEqual(items, [gap, "3", gap, "4"], "of an event ahead of the hub's answer, and one after it, came");
  await events.return();
}

/**
 * A topic that is given up without a connection is not asked for on the next one; one that is wanted meanwhile is, and has
 * no gap of its own.
 */
export async function connectionLossWanted(stage: Stage): Promise<void> {
  const scene = await setScene(stage);
  const { target, log, wire } = scene;
  const [held, gone, fresh, brief] = ["held", "gone", "new", "brief"].map(scene.topic) as [
    string,
    string,
    string,
    string,
  ];
  const [first, second] = [log.listener(1), log.listener(3)];
  await stage.listen(target, held, log.listener(0));
  await stage.listen(target, gone, first);
  await scene.fault.cut();
  await down(stage, target);
  target.removeEventListener(gone, first);
  target.addEventListener(fresh, log.listener(2));
  target.addEventListener(brief, second);
  target.removeEventListener(brief, second);
  await scene.fault.heal();
  for (const topic of [held, fresh]) {
    const found = await stage.wait("a topic to be confirmed anew", asking(target, topic).answered);
    ensureEqual(found, CONFIRMED, "on the next connection a subscription is");
  }
  const now = await askedByNow(stage, target, gone);
  ensure(
    now === "s" || now === "su",
    `of a topic given up without a connection it was asked, in all, ${now}`,
  );
  for (const [topic, wanted] of [
    [brief, ""],
    [fresh, "s"],
    [held, "ss"],
  ] as const) {
    ensureEqual(asked(wire.texts, topic), wanted, `of ${topic} it was asked, in all`);
  }
  scene.event("new", FENCE);
  await log.toFence(2);
  const gaps = [scene.gaps(held), scene.gaps(fresh)];
  ensureEqual(gaps, [1, 0], "gaps of a topic held before, and of one wanted since,");
}

/**
 * What an old connection owed counts nothing on the new one, and what was sent on the old one is not sent again. The new
 * one begins with a `__ping`.
 */
export async function connectionLossAnswers(stage: Stage): Promise<void> {
  const scene = await setScene(stage);
  const { wire, target, log } = scene;
  const topic = scene.topic("1");
  stage.publish(target, scene.type, "sent", 7);
  const sent = (texts: readonly string[]) =>
    texts.filter((text) => envelope(text).type === scene.type && envelope(text).id === "sent").length;
  await stage.wait(
    "an event on the wire",
    wire.until((texts) => sent(texts) === 1 && true),
  );
  wire.answer(false);
  const listener = log.listener(0);
  target.addEventListener(topic, listener);
  target.removeEventListener(topic, listener);
  target.addEventListener(topic, listener);
  await untilAsked(stage, topic, "sus");
  const before = wire.texts.length;
  await scene.interrupt(topic, "suss");
  const one = asking(target, topic);
  await scene.fence();
  ensure(await one.isOpen(), "a subscription was settled on a new connection before the hub's answer");
  wire.send(subscribed(topic));
  const words = "one answer on the new connection to settle what was owed two on the old one";
  ensureEqual(await stage.wait(words, one.answered), CONFIRMED, "after that answer a subscription is");
  await askedByNow(stage, target, topic);
  ensureEqual(sent(wire.texts), 1, "times that an event is on the wire, over two connections,");
  ensureEqual(envelope(wire.texts[before] ?? "").type, "__ping", "a new connection begins with");
}

/** A topic that is denied on a new connection ends its streams with that; others go on. */
export async function connectionLossDenied(stage: Stage): Promise<void> {
  const scene = await setScene(stage);
  const { wire, target } = scene;
  const [topic, other] = [scene.topic("1"), scene.topic("2")];
  const of = stage.pubsub(target);
  const [refused, goesOn] = [of.subscribe(scene.type, "1", LOSSES), of.subscribe(scene.type, "2", LOSSES)];
  await stage.wait("two subscriptions to be in place", Promise.all([refused.ready, goesOn.ready]));
  const next = refused.next();
  wire.answer(false);
  await scene.interrupt(topic, "ss");
  await untilAsked(stage, other, "ss");
  wire.send(denied(topic, "not_allowed"));
  wire.send(subscribed(other));
  scene.event("2", 1);
  await scene.fence();
  const { done } = await stage.wait("the end of a stream whose topic was denied anew", next);
  ensureEqual(done, true, "a stream whose topic was denied anew is done");
  ensureEqual(refused.end, { reason: "denied", detail: "not_allowed" }, "the denied stream ended with");
  ensureEqual(await waiting(goesOn), ["gap disconnected", "1"], "a stream beside the denied one gives");
  // It counts as not subscribed: the connection after this one is not asked for it.
  const before = asked(wire.texts, topic);
  await scene.interrupt(other, "sss");
  const now = await askedByNow(stage, target, topic);
  ensureEqual(now, before, "of a denied topic it was asked, in all");
  await goesOn.return();
}

/** A hub that drains puts a topic off to the next connection; the streams go on. */
export async function connectionLossDraining(stage: Stage): Promise<void> {
  const scene = await setScene(stage);
  const { wire, target, log } = scene;
  const [topic, fresh] = [scene.topic("1"), scene.topic("new")];
  const events = stage.pubsub(target).subscribe(scene.type, "1", LOSSES);
  await stage.wait("a subscription to be in place", events.ready);
  target.addEventListener("denied", log.listener(1));
  wire.answer(false);
  await scene.interrupt(topic, "ss");
  target.addEventListener(fresh, log.listener(2));
  await untilAsked(stage, fresh, "s");
  for (const one of [topic, fresh]) wire.send(denied(one, "draining"));
  await scene.fence();
  const both = [asking(target, topic), asking(target, fresh)];
  for (const one of both) {
    ensure(await one.isOpen(), "a subscription that a draining hub put off was settled");
  }
  ensureEqual(events.end, undefined, "a stream whose topic a draining hub put off ended with");
  await scene.interrupt(topic, "sss");
  await untilAsked(stage, fresh, "ss");
  for (const [one, id] of [
    [topic, "1"],
    [fresh, "new"],
  ] as const) {
    wire.send(subscribed(one));
    scene.event(id, FENCE);
  }
  for (const { answered } of both) {
    const found = await stage.wait("what a draining hub put off to be confirmed by the next", answered);
    ensureEqual(found, CONFIRMED, "subscriptions at the next hub are");
  }
  await log.toFence(2);
  const items = await waiting(events);
  ensureEqual(items, ["gap disconnected", `${FENCE}`], "across two interruptions a stream gives");
  ensureEqual(notices(log, 1), [], "denials told of what was put off");
  await events.return();
}

/** Codes that ask to stop end the target, with the code. */
export async function connectionLossFinal(stage: Stage): Promise<void> {
  for (const wanted of [1000, 1002, 1007, 1008, 1009, 4008]) {
    const peers = await stage.fixture.peers();
    try {
      const [target] = peers.subscribers;
      const end = ending(target);
      await stage.listen(target, `${unique("call")}:1`, () => undefined);
      peers.wire?.send({ code: wanted });
      const { code } = await stage.wait(`the end of a target whose hub closed with ${wanted}`, end);
      ensureEqual(code, wanted, `a target whose hub closed with ${wanted} ended with`);
    } finally {
      await peers.dispose?.();
    }
  }
}

/** Codes that ask to come back do not end it: streams go on after a gap. */
export async function connectionLossAgain(stage: Stage): Promise<void> {
  const scene = await setScene(stage);
  const topic = scene.topic("1");
  scene.target.addEventListener("close", scene.log.listener(1));
  const events = stage.pubsub(scene.target).subscribe(scene.type, "1", LOSSES);
  await stage.wait("a subscription to be in place", events.ready);
  let wanted = "s";
  for (const code of [1001, 1011, 1012, 3000, 4001]) {
    scene.wire.send({ code });
    wanted += "s";
    await untilAsked(stage, topic, wanted);
    const { value: gap } = await stage.wait(`the gap after the hub closed with ${code}`, events.next());
    ensureEqual((gap as { type?: unknown } | undefined)?.type, "__gap", `after a close of ${code} came`);
    // The wire answers by itself; what follows the gap is the new connection's.
    scene.event("1", code);
    const { value } = await stage.wait(`an event after the hub closed with ${code}`, events.next());
    const { payload } = Object(value) as { payload?: unknown };
    ensureEqual(payload, code, `after the hub closed with ${code} and the gap a stream gives`);
  }
  ensureEqual(notices(scene.log, 1), [], "close notices");
  await events.return();
}
