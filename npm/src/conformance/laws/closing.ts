// How a connection ends, and what is left of it: connection_loss, close.
import type { Peers } from "../fixture.js";
import { ensure, ensureEqual, FENCE, type Stage, show, unique } from "../stage.js";
import { control, envelope, topicOf } from "../wire.js";
import {
  asking,
  ending,
  endOf,
  faultOf,
  hasCode,
  nearOf,
  numbered,
  subscribe,
  untilAsked,
  wireOf,
} from "./far.js";

/** After `close` nothing is sent, and what comes is heard by nobody; a connection that the target owns is ended. */
export async function closeWire(stage: Stage): Promise<void> {
  const [type, log, wire, near] = [unique("call"), stage.log(), wireOf(stage), nearOf(stage)];
  const topic = `${type}:1`;
  await subscribe(stage, topic);
  await stage.listen(near, topic, log.listener(0));
  stage.publish(near, type, "1", 1);
  const isEvent = (text: string) => envelope(text).type === type;
  await stage.wait(
    "an event on the wire",
    wire.until((texts) => texts.some(isEvent) && true),
  );
  const before = wire.texts.length;
  near.close?.();
  for (const payload of [2, 3]) {
    let thrown = false;
    try {
      stage.pubsub(near).publish(type, "1", payload);
    } catch {
      thrown = true;
    }
    ensure(thrown, "a closed target took an event");
  }
  near.removeEventListener(topic, log.listener(0));
  // What comes in afterwards is heard by nobody, and answered by nobody.
  wire.send(numbered(type, "1", FENCE));
  wire.send(control("ping", {}));
  if (stage.fixture.offers?.lent) await new Promise<void>((resolve) => setTimeout(resolve, 5));
  else {
    const code = await endOf(stage);
    ensure(hasCode(code, 1000, 1001), `\`close\` ended the connection with ${code}`);
  }
  ensureEqual(wire.texts.slice(before), [], "after `close` went on the wire");
  ensureEqual(log.payloads(0), [], "after `close` were heard");
}

/** A Close is answered after all that came before it was handled: events are heard, questions answered. */
export async function closeAnswered(stage: Stage): Promise<void> {
  const [type, log, wire, near] = [unique("call"), stage.log(), wireOf(stage), nearOf(stage)];
  const topic = `${type}:1`;
  await stage.listen(near, topic, log.listener(0));
  const sent = Array.from({ length: 100 }, (_, number) => number);
  for (const number of sent) wire.send(numbered(type, "1", number));
  if (wire.far === "spoke") {
    wire.send(control("subscribe", { topic }));
    wire.send(control("ping", { n: 7 }));
  }
  wire.send({ code: 1000 });
  const code = await endOf(stage);
  ensure(hasCode(code, 1000), `a Close of 1000 was answered with ${code}`);
  if (stage.peers.near) ensureEqual(log.payloads(0), sent, "when a Close was answered, were heard");
  if (wire.far === "hub") return;
  const answers = wire.texts.map((text) => topicOf("subscribed", text) ?? envelope(text).type);
  ensureEqual(
    answers,
    [topic, "__pong"],
    "when a Close was answered, the questions before it had the answers",
  );
}

/** What was lent to a target can be used when it has ended as if it never had been. */
export async function closeLent(stage: Stage): Promise<void> {
  const { subscriber: target, peers } = stage;
  const [type, log] = [unique("call"), stage.log()];
  const { lent } = peers;
  await stage.listen(target, `${type}:1`, log.listener(0));
  stage.publish(stage.publisher, type, "1", FENCE);
  await log.toFence(0);
  target.close?.();
  try {
    await stage.wait("what was lent to a target to be of use again", Promise.resolve(lent?.useAgain()));
  } catch (error) {
    ensure(false, `after the end of the target that it was lent to, using it gave: ${show(error)}`);
  }
}

/** Who waits for an answer or for the end when the target closes need not wait on. */
export const closeWaiters = (stage: Stage): Promise<void> =>
  released(stage, () => stage.subscriber.close?.());

/** Who waits for an answer or for the end when the connection breaks need not wait on. */
export const connectionLossWaiters = (stage: Stage): Promise<void> =>
  released(stage, () => faultOf(stage).cut());

async function released(stage: Stage, end: () => ReturnType<NonNullable<Peers["dispose"]>>): Promise<void> {
  const { subscriber: target, pubsub, wait } = stage;
  const [type, log] = [unique("call"), stage.log()];
  const topic = `${type}:1`;
  wireOf(stage).answer(false);
  target.addEventListener(topic, log.listener(0));
  const events = pubsub(target).subscribe(type, "2");
  const { ready } = events;
  const next = events.next();
  await untilAsked(stage, topic, "s");
  const asked = asking(target, topic);
  ensure(await asked.isOpen(), "a subscription was settled before anything happened");
  const closed = ending(target);
  await end();
  await wait("the end, for one who waited for it before", closed);
  const closedNow = { status: "closed" };
  const settled = await wait("a subscription to be settled by the end", asked.answered);
  ensureEqual(settled, closedNow, "a subscription that waited for its answer is, after the end,");
  const { status } = await wait("`ready` of a subscription to be settled by the end", ready);
  ensureEqual(status, "closed", "`ready` of a subscription is, after the end,");
  ensureEqual(
    (await wait("a subscription to be done", next)).done,
    true,
    "after the end a subscription is done",
  );
  const late = await wait("`ready`, asked for after the end", asking(target, topic).answered);
  ensureEqual(late, closedNow, "a subscription, asked about after the end, is");
}
