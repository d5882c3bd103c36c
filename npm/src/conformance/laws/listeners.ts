// What listeners may do and what is done to them: removal, reentrant, isolation.
import type { Target, TargetEvent } from "../fixture.js";
import { ensure, ensureEqual, FENCE, payloadOf, type Stage, show, unique } from "../stage.js";

/** Once removed, a listener hears nothing; removing twice, or what was never added, does nothing. */
export async function removal({ publisher, subscriber, listen, publish, ...stage }: Stage): Promise<void> {
  const [type, log] = [unique("call"), stage.log()];
  const topic = `${type}:1`;
  const gone = log.listener(0);
  await listen(subscriber, topic, gone);
  await listen(subscriber, topic, log.listener(1));
  publish(publisher, type, "1", 1);
  await log.until("two listeners to be called", (calls) => calls.length >= 2);
  subscriber.removeEventListener(topic, gone);
  subscriber.removeEventListener(topic, gone);
  await listen(subscriber, topic, log.listener(2));
  subscriber.removeEventListener(topic, gone);
  subscriber.removeEventListener(topic, log.listener(1));
  subscriber.removeEventListener(topic, null);
  subscriber.removeEventListener(`${type}:never`, gone);
  publish(publisher, type, "1", 2, FENCE);
  ensureEqual(await log.toFence(2), [2, FENCE], "a listener that was added after the removal heard");
  ensureEqual(await log.toFence(1), [1, 2, FENCE], "a listener beside the removed one heard");
  ensureEqual(log.payloads(0), [1], "the removed listener heard");
}

/** A listener that is removed by one called before it is not called within the same dispatch. */
export async function removalDuringDispatch({
  publisher,
  subscriber,
  listen,
  publish,
  ...stage
}: Stage): Promise<void> {
  const [type, log] = [unique("call"), stage.log()];
  const topic = `${type}:1`;
  const next = log.listener(1);
  const remover = (event: TargetEvent) => {
    subscriber.removeEventListener(topic, next);
    subscriber.removeEventListener(topic, remover);
    log.write(0, event);
  };
  for (const listener of [remover, next, log.listener(2)]) await listen(subscriber, topic, listener);
  publish(publisher, type, "1", 1, 2, FENCE);
  ensureEqual(await log.toFence(2), [1, 2, FENCE], "the listener after the two removed ones heard");
  ensureEqual(log.payloads(0), [1], "the listener that removed itself heard");
  ensureEqual(log.payloads(1), [], "the listener that was removed before its turn heard");
}

/** A listener added with `once` is called once, also when it publishes on its own topic, and may then be added anew. */
export async function removalOnce({
  publisher,
  subscriber,
  listen,
  publish,
  ...stage
}: Stage): Promise<void> {
  const [type, log] = [unique("call"), stage.log()];
  const topic = `${type}:1`;
  const again = (event: TargetEvent) => {
    log.write(0, event);
    // Where the medium echoes, this comes back, at once or later: the listener is gone by then.
    if (payloadOf(event) === 1) stage.pubsub(publisher).publish(type, "1", 2);
  };
  await listen(subscriber, topic, again, { once: true });
  await listen(subscriber, topic, log.listener(1));
  publish(publisher, type, "1", 1);
  await log.until("2, which a listener published", () => log.payloads(1).includes(2));
  publish(publisher, type, "1", FENCE);
  await log.toFence(1);
  ensureEqual(log.payloads(0), [1], "a listener added with `once` heard");
  await listen(subscriber, topic, again, { once: true });
  publish(publisher, type, "1", 3, FENCE);
  await log.toFence(1, 2);
  ensureEqual(log.payloads(0), [1, 3], "a listener added with `once`, and after its call once more, heard");
}

/** A listener's signal removes it, also during a dispatch; one that is aborted already adds nothing. */
export async function removalSignal({
  publisher,
  subscriber,
  listen,
  publish,
  ...stage
}: Stage): Promise<void> {
  const [type, log] = [unique("call"), stage.log()];
  const topic = `${type}:1`;
  const [early, late, never] = [new AbortController(), new AbortController(), new AbortController()];
  never.abort();
  const aborting = (event: TargetEvent) => {
    log.write(0, event);
    if (payloadOf(event) === 1) early.abort();
  };
  await listen(subscriber, topic, aborting);
  await listen(subscriber, topic, log.listener(1), { signal: early.signal });
  await listen(subscriber, topic, log.listener(2), { signal: late.signal });
  subscriber.addEventListener(topic, log.listener(3), { signal: never.signal });
  await listen(subscriber, topic, log.listener(4));
  publish(publisher, type, "1", 1, 2, FENCE);
  await log.toFence(4);
  late.abort();
  publish(publisher, type, "1", 3, FENCE);
  await log.toFence(4, 2);
  ensureEqual(log.payloads(0), [1, 2, FENCE, 3, FENCE], "a listener beside those with signals heard");
  ensureEqual(log.payloads(1), [], "a listener whose signal was aborted before its turn heard");
  ensureEqual(log.payloads(2), [1, 2, FENCE], "a listener whose signal was aborted afterwards heard");
  ensureEqual(log.payloads(3), [], "a listener whose signal was aborted before it was added heard");
}

/** A target like that one, which counts the listeners that a pubsub adds, and the calls after it removed them. */
function counted(target: Target) {
  const live = new Map<string, Map<unknown, (event: TargetEvent) => void>>();
  const counts = { listeners: 0, late: 0 };
  const own: Pick<Target, "addEventListener" | "removeEventListener"> = {
    addEventListener(type, listener, options) {
      const of = live.get(type) ?? new Map<unknown, (event: TargetEvent) => void>();
      live.set(type, of);
      if (listener === null || of.has(listener)) return;
      const through = (event: TargetEvent) => {
        if (of.get(listener) !== through) counts.late += 1;
        if (typeof listener === "function") listener.call(target, event);
        else listener.handleEvent(event);
      };
      of.set(listener, through);
      counts.listeners += 1;
      target.addEventListener(type, through, options);
    },
    removeEventListener(type, listener) {
      const through = live.get(type)?.get(listener);
      if (through === undefined) return;
      live.get(type)?.delete(listener);
      counts.listeners -= 1;
      target.removeEventListener(type, through);
    },
  };
  const proxy = new Proxy(target, {
    get(of, name) {
      if (name in own) return own[name as keyof typeof own];
      const value: unknown = Reflect.get(of, name, of);
      return typeof value === "function" ? value.bind(of) : value;
    },
  });
  return { proxy, counts };
}

/** A subscription that is left leaves no listener behind, however it is left: `break`, `return()`, its signal. */
export async function removalOnDrop({ publisher, subscriber, publish, log, ...stage }: Stage): Promise<void> {
  const type = unique("call");
  const { proxy, counts } = counted(subscriber);
  const pubsub = stage.pubsub(proxy);
  const probe = log();
  await stage.listen(subscriber, `${type}:1`, probe.listener(0));
  // Notices that a pubsub listens to for as long as it lives are not a subscription's.
  const before = counts.listeners;
  const stop = new AbortController();
  const ways: [string, () => Promise<unknown>][] = [
    [
      "break",
      async () => {
        for await (const event of pubsub.subscribe(type, "1")) {
          ensure(event.payload !== undefined, "an event came without its payload");
          break;
        }
      },
    ],
    [
      "return()",
      async () => {
        const events = pubsub.subscribe(type, "1");
        await events.next();
        await events.return();
      },
    ],
    [
      "its signal",
      async () => {
        const events = pubsub.subscribe(type, "1", { signal: stop.signal });
        await events.next();
        stop.abort();
        await events.next().catch(() => undefined);
      },
    ],
  ];
  for (const [at, [way, leave]] of ways.entries()) {
    const leaving = leave();
    await stage.comesTrue(`a subscription's listener, to be left by ${way}`, () => counts.listeners > before);
    await stage.fixture.inPlace?.(subscriber, `${type}:1`);
    publish(publisher, type, "1", at);
    await stage.wait(`the end of a subscription by ${way}`, leaving);
    await stage.comesTrue(
      `no listener of a subscription that was left by ${way}`,
      () => counts.listeners === before,
    );
    publish(publisher, type, "1", FENCE);
    await probe.toFence(0, at + 1);
    ensureEqual(counts.late, 0, `calls of a listener after its subscription was left by ${way}`);
  }
}

/** A listener publishes, adds and removes on its own target; one that is added during a dispatch does not hear that event. */
export async function reentrant({
  fixture,
  publisher,
  subscriber,
  listen,
  publish,
  ...stage
}: Stage): Promise<void> {
  const [type, log] = [unique("call"), stage.log()];
  const topic = `${type}:1`;
  let done = false;
  const busy = (event: TargetEvent) => {
    log.write(0, event);
    if (payloadOf(event) !== 1) return;
    stage.pubsub(subscriber).publish(type, "2", 7);
    subscriber.addEventListener(topic, log.listener(1));
    const removed = log.listener(2);
    subscriber.addEventListener(topic, removed);
    subscriber.removeEventListener(topic, removed);
    subscriber.addEventListener(`${type}:new`, log.listener(3));
    done = true;
  };
  await listen(subscriber, topic, busy);
  await listen(subscriber, `${type}:2`, log.listener(4));
  publish(publisher, type, "1", 1);
  await log.until("the first event", (calls) => calls.some(({ by }) => by === 0));
  await fixture.inPlace?.(subscriber, topic);
  publish(publisher, type, "1", 2, FENCE);
  ensureEqual(await log.toFence(0), [1, 2, FENCE], "the busy listener heard");
  ensure(done, "the listener's own work did not end");
  ensureEqual(await log.toFence(1), [2, FENCE], "a listener added during the dispatch of 1 heard");
  ensureEqual(log.payloads(2), [], "a listener added and removed during the dispatch of 1 heard");
  if (fixture.capabilities.echo) {
    await log.until("the event that a listener published", () => log.payloads(4).includes(7));
  }
}

/** An event published inside a listener is dispatched at once, nested. */
export async function reentrantNested({
  publisher,
  subscriber,
  listen,
  publish,
  ...stage
}: Stage): Promise<void> {
  const [type, log] = [unique("call"), stage.log()];
  const outer = (event: TargetEvent) => {
    log.write(0, event);
    stage.pubsub(subscriber).publish(type, "inner", 7);
    log.write(1, event);
  };
  await listen(subscriber, `${type}:outer`, outer);
  await listen(subscriber, `${type}:outer`, log.listener(2));
  await listen(subscriber, `${type}:inner`, log.listener(3));
  publish(publisher, type, "outer", 1);
  const calls = log.calls.map(({ by }) => by);
  ensureEqual(calls, [0, 3, 1, 2], "the order of: outer begins 0, inner 3, outer ends 1, next listener 2");
}

/** An event published inside a listener of an event published inside a listener … is dispatched at once, to any depth a stack holds. */
export async function reentrantDepth({
  publisher,
  subscriber,
  listen,
  publish,
  ...stage
}: Stage): Promise<void> {
  const DEPTH = 50;
  const [type, log] = [unique("call"), stage.log()];
  const topic = `${type}:1`;
  const deeper = (event: TargetEvent) => {
    const depth = payloadOf(event) as number;
    log.write(0, event);
    // Once for each depth: with a target that doubles this would go on for ever.
    if (depth < DEPTH && depth === log.payloads(0).length) {
      // A listener that comes and goes at each level.
      const passing = log.listener(2);
      subscriber.addEventListener(topic, passing);
      stage.pubsub(subscriber).publish(type, "1", depth + 1);
      subscriber.removeEventListener(topic, passing);
    }
    log.write(1, event);
  };
  await listen(subscriber, topic, deeper);
  publish(publisher, type, "1", 1);
  const calls = log.calls.filter(({ by }) => by < 2).map(({ by, event }) => [by, payloadOf(event)]);
  const levels = Array.from({ length: DEPTH }, (_, at) => at + 1);
  const wanted = [...levels.map((depth) => [0, depth]), ...levels.reverse().map((depth) => [1, depth])];
  ensureEqual(calls, wanted, `${DEPTH} events in one another, begun (0) and ended (1)`);
  // Those that came along at a level were there for the deeper ones.
  const heard = (DEPTH * (DEPTH - 1)) / 2;
  ensureEqual(log.payloads(2).length, heard, "calls of listeners that were there for the deeper levels");
  publish(publisher, type, "1", FENCE);
  ensureEqual(log.payloads(2).length, heard, "calls of listeners that have gone again");
}

/** Whether a report is of that error: the error itself, or something that holds it. */
function isOf(report: unknown, error: unknown): boolean {
  if (report === error) return true;
  if (typeof report !== "object" || report === null) return false;
  const { error: held, cause } = report as { error?: unknown; cause?: unknown };
  return held === error || cause === error;
}

/** A listener that throws stops no other listener, not the publisher and not the target, and is reported once. */
export async function isolation({
  peers,
  publisher,
  subscriber,
  listen,
  publish,
  ...stage
}: Stage): Promise<void> {
  const [type, log] = [unique("call"), stage.log()];
  const topic = `${type}:1`;
  const [thrown, other] = [new Error("on purpose"), new Error("on purpose, by a getter")];
  const throwing = (event: TargetEvent) => {
    if (payloadOf(event) === 1) throw thrown;
  };
  let asked = 0;
  const without = {
    get handleEvent(): (event: TargetEvent) => void {
      asked += 1;
      if (asked > 1) return () => undefined;
      throw other;
    },
  };
  const reported = peers.reported ?? [];
  const before = reported.length;
  await listen(subscriber, topic, log.listener(0));
  await listen(subscriber, topic, throwing);
  await listen(subscriber, topic, log.listener(1));
  await listen(subscriber, topic, without);
  await listen(subscriber, topic, log.listener(2));
  try {
    publish(publisher, type, "1", 1, 2, FENCE);
  } catch (error) {
    ensure(false, `what a listener threw reached the publisher: ${show(error)}`);
  }
  for (const by of [0, 1, 2]) {
    ensureEqual(
      await log.toFence(by),
      [1, 2, FENCE],
      `the listener ${by}, 0 before and 1, 2 after those that threw, heard`,
    );
  }
  const reports = reported.slice(before);
  for (const error of [thrown, other]) {
    const times = reports.filter((report) => isOf(report, error)).length;
    ensureEqual(times, 1, `times that "${error.message}" was reported`);
  }
  ensureEqual(reports.length, 2, "reports of two errors");
}
