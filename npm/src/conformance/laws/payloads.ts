// What crosses, and what must not: round_trip, reserved.
import { ensure, ensureEqual, FENCE, payloadOf, type Stage, show, unique } from "../stage.js";

/** Payloads that any medium carries: JSON, and nothing at all. */
const PAYLOADS: readonly unknown[] = [
  { b: 1, a: 2, "": 0, __x: 1 },
  [0.1, -1, 1e21, 2 ** 53, true, false, null],
  'é\ud83d\ude00\u0000\u2028"\\',
  "",
  0,
  false,
  null,
  undefined,
  { type: "other", id: "2", payload: { nested: [[], {}] } },
];

/** Payloads arrive as they are: what JSON holds, `null` as `null`, and none as `undefined`. So do type and id. */
export async function roundTrip({ publisher, subscriber, publish, ...stage }: Stage): Promise<void> {
  const [type, id, log] = [unique("call"), "é:*", stage.log()];
  await stage.listen(subscriber, `${type}:${id}`, log.listener(0));
  publish(publisher, type, id, ...PAYLOADS, FENCE);
  const found = await log.toFence(0);
  for (const [at, payload] of PAYLOADS.entries()) ensureEqual(found[at], payload, "a payload came");
  for (const { event } of log.calls) {
    ensureEqual(event.type, `${type}:${id}`, "the name of the event");
    const { type: of, id: to } = event.detail as { type: unknown; id: unknown };
    ensureEqual([of, to], [type, id], "type and id of an envelope");
  }
}

/** The value that is published is the very value that arrives, whatever it holds, also at a subscription. */
export async function roundTripReference({
  publisher,
  subscriber,
  pubsub,
  publish,
  ...stage
}: Stage): Promise<void> {
  const [type, log] = [unique("call"), stage.log()];
  const self: { self?: unknown; none: undefined; call: () => number } = { none: undefined, call: () => 7 };
  self.self = self;
  const values: unknown[] = [self, new Map([[1, 2]]), Symbol("own"), 7n, () => 7, Object.freeze([])];
  await stage.listen(subscriber, `${type}:1`, log.listener(0));
  const events = pubsub(subscriber).subscribe(type, "1");
  const first = events.next();
  publish(publisher, type, "1", ...values, FENCE);
  const heard = await log.toFence(0);
  for (const [at, value] of values.entries()) {
    ensure(heard[at] === value, `value ${at} came to a listener as another value than was published`);
    const { value: event } = await stage.wait("an event of a subscription", at === 0 ? first : events.next());
    const same = (event as { payload: unknown }).payload === value;
    ensure(same, `value ${at} came out of a subscription as another value than was published`);
  }
  await events.return();
}

/** What JSON cannot hold is an error at `publish`, and nothing is sent. */
export async function roundTripEncode({
  publisher,
  subscriber,
  pubsub,
  publish,
  ...stage
}: Stage): Promise<void> {
  const [type, log] = [unique("call"), stage.log()];
  const circle: { of?: unknown } = {};
  circle.of = circle;
  await stage.listen(subscriber, `${type}:1`, log.listener(0));
  for (const payload of [circle, { big: 7n }]) {
    let thrown = false;
    try {
      pubsub(publisher).publish(type, "1", payload);
    } catch {
      thrown = true;
    }
    ensure(thrown, "a payload that JSON cannot hold was published without an error");
  }
  publish(publisher, type, "1", 1, FENCE);
  ensureEqual(
    await log.toFence(0),
    [1, FENCE],
    "with payloads before them that JSON cannot hold, a listener heard",
  );
}

/** A `__` type and an empty one are an error at `publish`, before anything is sent. */
export async function reserved({ publisher, subscriber, pubsub, publish, ...stage }: Stage): Promise<void> {
  const [type, log] = [unique("call"), stage.log()];
  const taken = unique("__mine");
  await stage.listen(subscriber, `${type}:1`, log.listener(0));
  subscriber.addEventListener(`${taken}:1`, log.listener(1));
  subscriber.addEventListener(":1", log.listener(1));
  for (const wrong of [taken, "__subscribe", "__", ""]) {
    let thrown: unknown;
    try {
      pubsub(publisher).publish(wrong, "1", { topic: `${type}:1` });
    } catch (error) {
      thrown = error;
    }
    ensure(
      thrown instanceof Error,
      `publishing under the type ${show(wrong)} gave ${show(thrown)} instead of an error`,
    );
  }
  // Names that only look like reserved ones are ordinary.
  const ordinary = `_${type}__`;
  await stage.listen(subscriber, `${ordinary}:__1`, log.listener(2));
  publish(publisher, ordinary, "__1", FENCE);
  publish(publisher, type, "1", FENCE);
  await log.toFence(2);
  await log.toFence(0);
  const heard = log.calls.filter(({ by }) => by < 2).map(({ event }) => payloadOf(event));
  ensureEqual(heard, [FENCE], "beside refused events, listeners heard");
}
