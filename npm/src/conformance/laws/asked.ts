// What a link asks of its hub, and what it says of the answers: refcount, ready.
import { ensure, ensureEqual, FENCE, type Stage, unique } from "../stage.js";
import { control, denied, subscribed } from "../wire.js";
import { asked, askedByNow, asking, notices, numbered, ready, untilAsked, wireOf } from "./far.js";

/** One `__subscribe` for the first listener of a topic, one `__unsubscribe` after the last. */
export async function refcount(stage: Stage): Promise<void> {
  const { subscriber, listen, pubsub, wait } = stage;
  const [type, log] = [unique("call"), stage.log()];
  const topic = `${type}:1`;
  const [one, two, three] = [log.listener(0), log.listener(1), log.listener(2)];
  const control = new AbortController();
  const now = (of: string) => askedByNow(stage, subscriber, of);
  await listen(subscriber, topic, one);
  await listen(subscriber, topic, one);
  await listen(subscriber, topic, two, { signal: control.signal });
  await listen(subscriber, topic, three);
  ensureEqual(await now(topic), "s", "three listeners, one of them added twice, asked");
  subscriber.removeEventListener(topic, one);
  subscriber.removeEventListener(topic, one);
  control.abort();
  ensureEqual(await now(topic), "s", "one listener being left, it was asked");
  subscriber.removeEventListener(topic, three);
  await untilAsked(stage, topic, "su");
  subscriber.removeEventListener(topic, three);
  ensureEqual(await now(topic), "su", "no listener being left, it was asked");
  await listen(subscriber, topic, one, { once: true });
  ensureEqual(await now(topic), "sus", "with a new listener it was asked");
  wireOf(stage).send(numbered(type, "1", 1));
  await untilAsked(stage, topic, "susu");
  // Notices are the target's own; a subscription counts like a listener.
  subscriber.addEventListener("gap", one);
  const subscriptions = [pubsub(subscriber).subscribe(type, "2"), pubsub(subscriber).subscribe(type, "2")];
  await wait("two subscriptions to be in place", Promise.all(subscriptions.map((events) => events.ready)));
  await Promise.all(subscriptions.map((events) => events.return()));
  await untilAsked(stage, `${type}:2`, "su");
  ensureEqual(await now(`${type}:2`), "su", "two subscriptions that were left asked");
  ensureEqual(await now("gap"), "", "a listener to notices asked");
}

/** A subscription is confirmed by the answer that belongs to it, not earlier: each `__subscribe` is owed one. */
export async function readyWaits(stage: Stage): Promise<void> {
  const { subscriber: target, wait } = stage;
  const [wire, type, log] = [wireOf(stage), unique("call"), stage.log()];
  const [topic, other] = [`${type}:1`, `${type}:other`];
  await stage.listen(target, other, log.listener(9));
  wire.answer(false);
  let fences = 0;
  // An event on the topic that is confirmed already.
  const fence = async () => {
    fences += 1;
    wire.send(numbered(type, "other", FENCE));
    await log.toFence(9, fences);
  };
  const listener = log.listener(0);
  target.addEventListener(topic, listener);
  await untilAsked(stage, topic, "s");
  const first = asking(target, topic);
  ensure(await first.isOpen(), "a subscription was settled before the hub's answer");
  wire.send(subscribed(other));
  await fence();
  ensure(await first.isOpen(), "a subscription was settled by the answer to another");
  wire.send(subscribed(topic));
  const confirmed = { status: "confirmed" };
  const waited = await wait("a subscription to be settled by the hub's yes", first.answered);
  ensureEqual(waited, confirmed, "after the hub's yes the subscription is");

  // Dropped and taken up again before the hub answers: two answers are owed, and the last one counts.
  target.removeEventListener(topic, listener);
  await untilAsked(stage, topic, "su");
  target.addEventListener(topic, listener);
  await untilAsked(stage, topic, "sus");
  target.removeEventListener(topic, listener);
  await untilAsked(stage, topic, "susu");
  target.addEventListener(topic, listener);
  await untilAsked(stage, topic, "susus");
  const second = asking(target, topic);
  wire.send(subscribed(topic));
  await fence();
  ensure(await second.isOpen(), "a subscription was settled by the answer to an earlier one of its topic");
  wire.send(subscribed(topic));
  const last = await wait("a subscription to be settled by the last yes", second.answered);
  ensureEqual(last, confirmed, "after the last yes the subscription is");
}

/** A no is told with its reason; the topic counts as not subscribed, and the next `add` asks again. */
export async function readyDenied(stage: Stage): Promise<void> {
  const { subscriber: target, wait, pubsub } = stage;
  const [wire, type, log] = [wireOf(stage), unique("call"), stage.log()];
  const topic = `${type}:1`;
  target.addEventListener("denied", log.listener(1));
  wire.answer(false);
  target.addEventListener(topic, log.listener(0));
  await untilAsked(stage, topic, "s");
  wire.send(denied(topic, "topic_too_long"));
  const no = { status: "denied", reason: "topic_too_long" };
  ensureEqual(await wait("a denied subscription to be settled", ready(target, topic)), no, "it is");
  const told = { topic, action: "subscribe", reason: "topic_too_long" };
  ensureEqual(notices(log, 1), [told], "the denial was told as");

  target.addEventListener(topic, log.listener(2));
  await untilAsked(stage, topic, "ss");
  wire.send(subscribed(topic));
  const yes = await wait("a subscription that was asked for again", ready(target, topic));
  ensureEqual(yes, { status: "confirmed" }, "asked again, the subscription is");

  // A no that nobody waits for revokes; an unknown reason reads as not_allowed.
  wire.answer(true);
  const revoked = pubsub(target).subscribe(type, "2");
  await wait("a subscription to be in place", revoked.ready);
  const next = revoked.next();
  wire.send(denied(`${type}:2`, "full_moon"));
  ensureEqual((await wait("the end of a revoked subscription", next)).done, true, "a revoked one is done");
  ensureEqual(
    revoked.end,
    { reason: "denied", detail: "not_allowed" },
    "the revoked subscription ended with",
  );

  // Events of other topics go on, and a subscription that is denied at once says so.
  wire.send(numbered(type, "1", FENCE));
  await log.toFence(0);
  wire.answer(false);
  const refused = pubsub(target).subscribe(type, "3");
  const { ready: answer } = refused;
  await untilAsked(stage, `${type}:3`, "s");
  wire.send(denied(`${type}:3`, "too_many_subscriptions"));
  const { status, reason } = (await wait("a denied subscription to say so", answer)) as Record<
    string,
    unknown
  >;
  ensureEqual([status, reason], ["denied", "too_many_subscriptions"], "subscribing gave");
  ensureEqual((await refused.next()).done, true, "a subscription that was denied is done");
}

/** A hub that answers no subscription is waited for once, 2 s; events come all the same. */
export async function readyUnanswered(stage: Stage): Promise<void> {
  const { subscriber: target, wait, pubsub } = stage;
  const [wire, type] = [wireOf(stage), unique("call")];
  wire.answer(false);
  const one = pubsub(target).subscribe(type, "1");
  const status = async (events: typeof one) =>
    (await wait("a subscription at a hub that does not answer", events.ready)).status;
  ensureEqual(await status(one), "unconfirmed", "at a hub that does not answer a subscription is");
  const before = Date.now();
  const two = pubsub(target).subscribe(type, "2");
  ensureEqual(await status(two), "unconfirmed", "at a hub that does not answer another subscription is");
  ensure(Date.now() - before < 1500, "a hub that does not answer was waited for twice");
  wire.send(numbered(type, "1", 7));
  const { value } = await wait("an event of an unconfirmed subscription", one.next());
  ensureEqual((value as { payload?: unknown }).payload, 7, "an unconfirmed subscription heard");
  // An answer that comes late is an answer.
  wire.send(subscribed(`${type}:1`));
  wire.send(numbered(type, "1", 8));
  await wait("an event of a subscription that was confirmed late", one.next());
  const { status: late } = await wait("a subscription that was confirmed late", ready(target, `${type}:1`));
  ensure(late === "confirmed" || late === "unconfirmed", `confirmed late, a subscription is ${late}`);
  await Promise.all([one.return(), two.return()]);
}

/** A publication that is denied is told as such; it ends no subscription, of the same topic or another. */
export async function readyDeniedPublish(stage: Stage): Promise<void> {
  const { subscriber: target, wait, pubsub } = stage;
  const [wire, type, log] = [wireOf(stage), unique("call"), stage.log()];
  const topic = `${type}:1`;
  const events = pubsub(target).subscribe(type, "1");
  await wait("a subscription to be in place", events.ready);
  target.addEventListener("denied", log.listener(1));
  await stage.listen(target, topic, log.listener(0));
  wire.send(denied(topic, "topic_too_long", "publish"));
  wire.send(numbered(type, "1", FENCE));
  await log.toFence(0);
  const told = { topic, action: "publish", reason: "topic_too_long" };
  ensureEqual(notices(log, 1), [told], "a denied publication was told as");
  const still = await wait("a subscription beside a denied publication", ready(target, topic));
  ensureEqual(still, { status: "confirmed" }, "the subscription to its topic is");
  const { value } = await wait("an event after a denied publication", events.next());
  ensureEqual((value as { payload?: unknown } | undefined)?.payload, FENCE, "a stream of its topic gives");
  ensureEqual(events.end, undefined, "a stream of its topic ended with");
  await events.return();
}

/** A hub that drains says no; where the target ends with its connection, so does the subscription. */
export async function readyDraining(stage: Stage): Promise<void> {
  const { subscriber: target, wait, pubsub } = stage;
  const [wire, type, log] = [wireOf(stage), unique("call"), stage.log()];
  const topic = `${type}:1`;
  target.addEventListener("denied", log.listener(1));
  wire.answer(false);
  target.addEventListener(topic, log.listener(0));
  await untilAsked(stage, topic, "s");
  wire.send(denied(topic, "draining"));
  const found = await wait("a subscription at a draining hub to be settled", ready(target, topic));
  ensureEqual(found, { status: "denied", reason: "draining" }, "at a draining hub a subscription is");
  wire.answer(true);
  const revoked = pubsub(target).subscribe(type, "2");
  await wait("a subscription to be in place", revoked.ready);
  const next = revoked.next();
  wire.send(denied(`${type}:2`, "draining"));
  const { done } = await wait("the end of a subscription that a draining hub revoked", next);
  ensureEqual(done, true, "a subscription that a draining hub revoked is done");
  ensureEqual(revoked.end, { reason: "denied", detail: "draining" }, "a revoked subscription ended with");
  ensureEqual(notices(log, 1).length, 2, "denials told of two");
}

/** What throws at a notice stops no other listener and not the target, and is reported once. */
export async function isolationNotices(stage: Stage): Promise<void> {
  const { subscriber: target, peers } = stage;
  const [wire, type, log] = [wireOf(stage), unique("call"), stage.log()];
  const topic = `${type}:1`;
  const thrown = new Error("on purpose, at a notice");
  const before = peers.reported?.length ?? 0;
  target.addEventListener("gap", log.listener(1));
  target.addEventListener("gap", () => {
    throw thrown;
  });
  target.addEventListener("gap", log.listener(2));
  await stage.listen(target, topic, log.listener(0));
  wire.send(control("gap", { topic, missed: 3, reason: "slow" }));
  wire.send(numbered(type, "1", FENCE));
  await log.toFence(0);
  for (const by of [1, 2]) ensureEqual(notices(log, by).length, 1, `gaps that listener ${by} was told of`);
  const reports = peers.reported?.slice(before) ?? [];
  ensureEqual(reports.length, 1, "reports of one error");
  const [report] = reports as [{ error?: unknown; cause?: unknown }];
  ensure([report, report.error, report.cause].includes(thrown as never), "another error was reported");
  ensureEqual(asked(wire.texts, topic), "s", "after an error at a notice it was asked, in all");
}
