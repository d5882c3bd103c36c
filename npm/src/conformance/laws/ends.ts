// How it ends: connection_loss, close.
import type { Target, TargetEvent } from "../fixture.js";
import { ensure, ensureEqual, FENCE, payloadOf, type Stage, show, unique } from "../stage.js";

const close = (target: Target) => target.close?.();

/** Whether publishing is refused, as a closed target refuses it. */
function refuses(publish: () => unknown): boolean {
  try {
    publish();
    return false;
  } catch {
    return true;
  }
}

/** A target that is closed tells everyone once, its streams end when they are read, and it takes nothing more. */
export async function closes({
  subscriber,
  publisher,
  pubsub,
  listen,
  publish,
  ...stage
}: Stage): Promise<void> {
  const [type, log] = [unique("call"), stage.log()];
  const topic = `${type}:1`;
  const events = pubsub(subscriber).subscribe(type, "1");
  const waiting = pubsub(subscriber).subscribe(type, "2");
  await stage.wait("two subscriptions to be in place", Promise.all([events.ready, waiting.ready]));
  await listen(subscriber, topic, log.listener(0));
  subscriber.addEventListener("close", log.listener(1));
  publish(publisher, type, "1", FENCE);
  await log.toFence(0);
  const next = waiting.next();
  close(subscriber);
  close(subscriber);
  await log.until("the close notice", (calls) => calls.some(({ by }) => by === 1));
  const last = await stage.wait("what had come before the end", events.next());
  ensureEqual(
    (last.value as { payload?: unknown } | undefined)?.payload,
    FENCE,
    "what had come before the end is",
  );
  for (const [of, end] of [
    ["that was read to its end", events.next()] as const,
    ["that was waiting", next] as const,
  ]) {
    ensureEqual(
      (await stage.wait(`the end of a subscription ${of}`, end)).done,
      true,
      `a subscription ${of} is done`,
    );
  }
  ensureEqual(events.end?.reason, "closed", "the subscription ended with the reason");
  ensure(
    refuses(() => pubsub(subscriber).publish(type, "1", 1)),
    "a closed target took an event",
  );
  refuses(() => subscriber.addEventListener(topic, log.listener(2)));
  close(subscriber);
  ensureEqual(log.calls.filter(({ by }) => by === 1).length, 1, "close notices");
  const late = async () => pubsub(subscriber).subscribe(type, "1").next();
  const over = late().then(
    ({ done }) => done,
    () => true,
  );
  ensureEqual(
    await stage.wait("the end of a subscription to a closed target", over),
    true,
    "a subscription to a closed target is done",
  );
  ensureEqual(log.payloads(2), [], "a listener that was added after the end heard");
}

/** A listener may close its target; what it then publishes is refused and heard by nobody. */
export async function closeInListener({
  subscriber,
  publisher,
  pubsub,
  listen,
  publish,
  ...stage
}: Stage): Promise<void> {
  const [type, log] = [unique("call"), stage.log()];
  const topic = `${type}:1`;
  const refused: boolean[] = [];
  const late = () => refused.push(refuses(() => pubsub(subscriber).publish(type, "1", 7)));
  const closer = (event: TargetEvent) => {
    log.write(0, event);
    if (payloadOf(event) !== 1) return;
    close(subscriber);
    late();
  };
  let mourned = false;
  const mourner = () => {
    // Once: a target that tells of each close anew would never come to an end.
    if (mourned) return;
    mourned = true;
    late();
    close(subscriber);
  };
  subscriber.addEventListener("close", mourner);
  subscriber.addEventListener("close", log.listener(1));
  await listen(subscriber, topic, closer);
  await listen(subscriber, topic, log.listener(2));
  publish(publisher, type, "1", 1);
  await log.until("the close notice", (calls) => calls.some(({ by }) => by === 1));
  await stage.comesTrue("both publications to be refused, or taken", () => refused.length >= 2);
  ensureEqual(refused, [true, true], "publishing on a target that is being closed was refused");
  ensureEqual(
    [...log.payloads(0), ...log.payloads(2)].includes(7),
    false,
    "an event that was published after `close` was heard",
  );
  ensureEqual(log.calls.filter(({ by }) => by === 1).length, 1, "close notices");
}

/** A target that ends with its connection tells everyone, once, why; publishing then says that nothing was taken. */
export async function connectionLoss({ peers, subscriber, pubsub, listen, ...stage }: Stage): Promise<void> {
  const [type, log] = [unique("call"), stage.log()];
  const events = pubsub(subscriber).subscribe(type, "1");
  await stage.wait("a subscription to be in place", events.ready);
  await listen(subscriber, `${type}:1`, log.listener(0));
  subscriber.addEventListener("close", log.listener(1));
  const next = events.next();
  await peers.fault?.cut();
  await log.until("the close notice", (calls) => calls.some(({ by }) => by === 1));
  const { done } = await stage.wait("the end of a subscription whose connection was cut", next);
  ensureEqual(done, true, "a subscription whose connection was cut is done");
  const told = log.calls.find(({ by }) => by === 1);
  const { reason } = (told?.event.detail ?? {}) as { reason?: unknown };
  ensureEqual(events.end, { reason: "closed", detail: reason }, "the subscription ended with");
  let taken: unknown;
  try {
    taken = pubsub(subscriber).publish(type, "1", 1);
  } catch (error) {
    ensure(
      false,
      `publishing after the connection was cut, which is no mistake of the program, threw: ${show(error)}`,
    );
  }
  ensureEqual(taken, false, "after the connection was cut, publishing gave");
  // Its own end comes on top, and is told to nobody.
  subscriber.close?.();
  ensureEqual(log.calls.filter(({ by }) => by === 1).length, 1, "close notices");
}
