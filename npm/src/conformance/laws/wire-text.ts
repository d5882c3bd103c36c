// What crosses a wire, and what must not: round_trip, reserved, bad_input.
import type { EventEnvelope } from "../../types.js";
import type { Target } from "../fixture.js";
import { ensure, ensureEqual, FENCE, type Log, type Stage, show, unique } from "../stage.js";
import { control, envelope } from "../wire.js";
import { ending, endOf, hasCode, nearOf, notices, numbered, subscribe, wireOf } from "./far.js";

/** Payloads whose text a careless writer would change. */
const PAYLOADS: readonly unknown[] = [
  [1.5],
  undefined,
  null,
  { b: 1, a: 2, 10: 3, "": 0, __x: 1, type: "other", id: "2" },
  'é\ud83d\ude00\u0000\u2028\ud800"\\/',
  "",
  0,
  false,
  [2 ** 53 + 2, 1e21, -0.1],
];

/** Envelopes as others write them. `TYPE` stands for the type. */
const TEXTS = [
  '{"type":"TYPE","id":"1","payload":{"b":1,"a":2,"b":3}}',
  '{"type":"TYPE","id":"1","payload":[9007199254740993,18446744073709551616,1e400,1.10,-0,1E2]}',
  '{"type":"TYPE","id":"1","payload":"\\u00e9\\/\\ud83d\\ude00é\\ud800"}',
  '{"type":"TYPE","id":"1"}',
  '{"type":"TYPE","id":"1","payload":null}',
  '{"payload":{ },"id":"1","type":"TYPE"}',
  '{"type":"TYPE","id":"\\u0031","payload":"","trace":{"of":["us"]},"":0}',
  ' {\t"type" : "TYPE" ,\r\n "id":"1","payload" : [ 1 , "é" ] } ',
  '{"é":"é","type":"TYPE","id":"1","payload":{"type":"other","id":"2","__x":1}}',
];

const events = (log: Log) => log.calls.map(({ event }) => event.detail as EventEnvelope);

/** What goes out is the host's JSON of the envelope and nothing else; what comes in is what `JSON.parse` makes of it. */
export async function roundTripWire(stage: Stage): Promise<void> {
  const [outward, inward, log] = [unique("outward"), unique("inward"), stage.log()];
  const wire = wireOf(stage);
  await subscribe(stage, `${outward}:é"1`);
  await stage.listen(nearOf(stage), `${inward}:1`, log.listener(0));
  stage.publish(nearOf(stage), outward, 'é"1', ...PAYLOADS);
  const sent = PAYLOADS.map((payload) => JSON.stringify({ type: outward, id: 'é"1', payload }));
  const went = await stage.wait(
    "all envelopes on the wire",
    wire.until((texts) => {
      const found = texts.filter((text) => envelope(text).type === outward);
      return found.length >= sent.length && found;
    }),
  );
  for (const [at, text] of sent.entries()) ensureEqual(went[at], text, "on the wire went");

  const texts = TEXTS.map((text) => text.replace("TYPE", inward));
  for (const text of texts) wire.send(text);
  // As bytes, a message is the same message.
  for (const text of texts) wire.send(new TextEncoder().encode(text));
  await log.until("all envelopes from the wire", (calls) => calls.length >= 2 * texts.length);
  for (const [at, { payload }] of events(log).entries()) {
    const text = texts[at % texts.length] ?? "";
    ensureEqual(
      payload,
      (JSON.parse(text) as { payload?: unknown }).payload,
      `the payload of ${text} came as`,
    );
  }
}

/**
 * No reserved type leaves by `dispatchEvent`; control events that come in reach no listener, and one of an unknown type
 * is ignored, not bad.
 */
export async function reservedWire(stage: Stage): Promise<void> {
  const [type, log, wire, near] = [unique("call"), stage.log(), wireOf(stage), nearOf(stage)];
  const topic = `${type}:1`;
  for (const [by, name] of ["error", "denied", "gap", "close", "__mine:", "__mine:1"].entries()) {
    near.addEventListener(name, log.listener(by));
  }
  await stage.listen(near, topic, log.listener(9));
  await subscribe(stage, topic);
  for (const [id, payload] of [
    ["", 1],
    ["1", { topic }],
  ] as const) {
    let thrown: unknown;
    try {
      near.dispatchEvent({ type: `__mine:${id}`, detail: { type: "__mine", id, payload } } as never);
    } catch (error) {
      thrown = error;
    }
    ensure(thrown instanceof Error, `dispatching a reserved type gave ${show(thrown)} instead of an error`);
    wire.send(numbered("__mine", id, payload));
  }
  wire.send(control("pong", { echo: {}, protocol: 1, features: [] }));
  wire.send(control("subscribed", { topic: "never.asked:1" }));
  wire.send(numbered(type, "1", FENCE));
  await log.toFence(9);
  const others = log.calls.filter(({ by }) => by !== 9).map(({ event }) => [event.type, event.detail]);
  ensureEqual(others, [], "of control events listeners were told");
  stage.publish(near, type, "1", FENCE);
  await stage.wait(
    "an event on the wire",
    wire.until((texts) => texts.some((text) => text.includes(`${FENCE}`)) && true),
  );
  // A topic that is reserved is asked for at most; what is sent under it would be no event.
  const mine = wire.texts.filter((text) => envelope(text).type === "__mine");
  ensureEqual(mine, [], "on the wire went");
}

/** Messages that are no envelope. `TOPIC` stands for the type and the id of a topic that is listened to. */
const BAD = [
  "",
  "secret",
  "{TOPIC",
  "{TOPIC,}",
  "{TOPIC}{TOPIC}",
  "{TOPIC} secret",
  "[{TOPIC}]",
  '{"type":"call.responded","payload":"secret"}',
  '{"id":"1","payload":"secret"}',
  '{"type":7,"id":"1"}',
  '{TOPIC,"id":"1"}',
  '{TOPIC,"payload":1,"p\\u0061yload":"secret"}',
  '{"type":"","id":"1"}',
  '{"type":"\\ud800","id":"1"}',
  '{TOPIC,"__hop":1}',
  "\ufeff{TOPIC}",
  "{TOPIC,\"payload\":{'secret':1}}",
];
const topicOf = (type: string) => `"type":"${type}","id":"1"`;
const NOT_UTF8 = Uint8Array.from(
  [...'{"type":"call.responded","id":"\u00ff"}'].map((of) => of.charCodeAt(0)),
);
const DEEP = "[".repeat(64) + "]".repeat(64);

const told = (log: Log, by: number) => notices(log, by).map(({ error }) => error);

/** Of what is no envelope nothing is delivered, nothing crashes, it is told, and no report holds any of it. */
export async function badInput(stage: Stage): Promise<void> {
  const [type, log, wire, near] = [unique("call"), stage.log(), wireOf(stage), nearOf(stage)];
  near.addEventListener("error", log.listener(1));
  await stage.listen(near, `${type}:1`, log.listener(0));
  for (const text of BAD) wire.send(text.split("TOPIC").join(topicOf(type)));
  wire.send(`{${topicOf(type)},"payload":${DEEP}}`);
  wire.send(control(wire.far === "hub" ? "subscribed" : "subscribe", { topic: 7 }));
  wire.send(NOT_UTF8);
  wire.send(numbered(type, "1", FENCE));
  // A binary message is a message like any other.
  wire.send(new TextEncoder().encode(numbered(type, "1", FENCE)));
  ensureEqual(await log.toFence(0, 2), [FENCE, FENCE], "between bad input were heard");
  const errors = told(log, 1);
  ensureEqual(errors.length, BAD.length + 3, "messages told of as bad input");
  for (const error of errors) {
    const { message, code } = Object(error) as { message?: unknown; code?: unknown };
    const words = `${String(message)} ${String(code)}`;
    const secret = words.includes("secret") || words.includes(type);
    ensure(code === "bad_input" && !secret, `bad input was reported as ${words}`);
  }
}

/** Messages that are bad input, by the reason. */
const BY_REASON: readonly (readonly [reason: string, text: string | Uint8Array])[] = [
  ["byte_order_mark", "\ufeff{TOPIC}"],
  ["not_json", "{TOPIC"],
  ["too_deep", '{TOPIC,"payload":DEEP}'],
  ["not_an_object", "[{TOPIC}]"],
  ["trailing_bytes", "{TOPIC}{TOPIC}"],
  ["missing_member", '{"type":"call.responded"}'],
  ["not_a_string", '{"type":7,"id":"1"}'],
  ["empty_type", '{"type":"","id":"1"}'],
  ["repeated_member", '{TOPIC,"\\u0069d":"1"}'],
  ["lone_surrogate", '{"type":"call.responded","id":"\\udc00"}'],
  ["reserved_member", '{TOPIC,"__hop":1}'],
  ["bad_control", '{"type":"__subscribe","id":"","payload":{"topic":7}}'],
  ["bad_control", '{"type":"__gap","id":"","payload":[]}'],
  ["not_utf8", NOT_UTF8],
];

/** Bad input is told of by its reason, and counted. */
export async function badInputByReason(stage: Stage): Promise<void> {
  const [type, log, wire, near] = [unique("call"), stage.log(), wireOf(stage), nearOf(stage)];
  near.addEventListener("error", log.listener(1));
  await stage.listen(near, `${type}:1`, log.listener(0));
  const before = near.stats?.().bad_input ?? 0;
  const wanted: string[] = [];
  // Of the second reason two, of the third three, and so on, so that no two can be taken for each other.
  for (const [at, [reason, text]] of BY_REASON.entries()) {
    for (let times = 0; times <= at % 5; times++) {
      const filled =
        typeof text === "string" ? text.split("TOPIC").join(topicOf(type)).replace("DEEP", DEEP) : text;
      wire.send(filled);
      wanted.push(reason);
    }
  }
  wire.send(numbered(type, "1", FENCE));
  await log.toFence(0);
  const words = told(log, 1).map((error) => String((error as { message?: unknown }).message));
  const named = words.map((text, at) => (text.includes(wanted[at] ?? "?") ? wanted[at] : text));
  ensureEqual(named, wanted, "bad input was told of as");
  const counted = (near.stats?.().bad_input ?? 0) - before;
  if (near.stats) ensureEqual(counted, wanted.length, "messages counted as bad input");
}

/** Whether the target at the wire's near end has one connection, and ends where that is at fault. */
const isLink = (stage: Stage) => wireOf(stage).far === "hub";

async function endsWith(stage: Stage, end: ReturnType<typeof ending>, code: number, words: string) {
  const found = await endOf(stage);
  ensure(hasCode(found, code), `after ${words} the connection ended with ${found}`);
  if (!isLink(stage)) return;
  const { code: named } = await stage.wait(`the end of a link after ${words}`, end);
  ensure(named !== undefined && hasCode(Number(named), code), `a link ended after ${words} with ${named}`);
}

/** Fifty bad messages harm nobody; the hundredth within ten seconds ends the connection with 1007, and a link with it. */
export async function badInputLimit(stage: Stage): Promise<void> {
  const [type, log, wire, near] = [unique("call"), stage.log(), wireOf(stage), nearOf(stage)];
  const end = ending(near);
  await stage.listen(near, `${type}:1`, log.listener(0));
  const bad = (times: number) => {
    for (let sent = 0; sent < times; sent++) wire.send("no envelope");
    wire.send(numbered(type, "1", FENCE));
  };
  bad(50);
  await log.toFence(0);
  bad(49);
  ensureEqual((await log.toFence(0, 2)).length, 2, "between 99 bad messages were heard");
  bad(1);
  await endsWith(stage, end, 1007, "100 bad messages");
  ensureEqual(log.payloads(0).length, 2, "events heard, of which two were sent before the end,");
}

/**
 * A message of just the limit crosses both ways; one that is longer is refused at `dispatch`, and ends the connection
 * that sends it with 1009.
 */
export async function badInputTooLarge(stage: Stage): Promise<void> {
  const [type, log, wire, near] = [unique("call"), stage.log(), wireOf(stage), nearOf(stage)];
  const topic = `${type}:1`;
  const end = ending(near);
  near.addEventListener("error", log.listener(1));
  await subscribe(stage, topic);
  await stage.listen(near, topic, log.listener(0));
  const frame = numbered(type, "1", "").length;
  const taken = async (of: Target, bytes: number) => {
    const found = stage.pubsub(of).publish(type, "1", "x".repeat(bytes - frame));
    // What was taken is on its way, and makes room.
    await new Promise<void>((resolve) => setTimeout(resolve));
    return found;
  };
  // What the limit is, a target says by what it takes.
  let [least, most] = [frame, 1 << 16];
  while (await taken(near, most)) {
    ensure(most < 64 << 20, `dispatching ${most} bytes was taken`);
    [least, most] = [most, 2 * most];
  }
  while (most - least > 1) {
    const middle = (least + most) >> 1;
    if (await taken(near, middle)) least = middle;
    else most = middle;
  }
  await stage.wait(
    "an event of just the limit on the wire",
    wire.until((texts) => texts.some((text) => text.length === least) && true),
  );
  const codes = () => told(log, 1).map((error) => (error as { code?: unknown }).code);
  ensure(
    codes().length > 0 && codes().every((code) => code === "too_large"),
    `errors told: ${show(codes())}`,
  );
  let deep: unknown = [];
  for (let depth = 1; depth < 1000; depth++) deep = [deep];
  ensureEqual(
    stage.pubsub(near).publish(type, "1", deep),
    false,
    "dispatching 1,000 arrays in one another gave",
  );
  ensureEqual(codes().pop(), "too_deep", "that was told as");

  wire.send(numbered(type, "1", "x".repeat(least - frame)));
  await log.until("an event of just the limit", (calls) => calls.some(({ by }) => by === 0));
  wire.send(numbered(type, "1", "x".repeat(most - frame)));
  wire.send(numbered(type, "1", FENCE));
  await endsWith(stage, end, 1009, "a message over the limit");
  ensureEqual(
    log.payloads(0).length,
    1,
    "events heard, of which one was within the limit and before the end,",
  );
}
