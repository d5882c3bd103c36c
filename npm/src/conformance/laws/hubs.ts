// What a hub owes its spokes, as a raw spoke sees it: ready, bounded.
import { ensure, ensureEqual, FENCE, type Stage, unique } from "../stage.js";
import { control, envelope } from "../wire.js";
import { endOf, faultOf, hasCode, nearOf, notices, numbered, subscribe, wireOf } from "./far.js";

/** A hub's message in few words. */
export function word(text: string): string {
  const { type, id, payload } = envelope(text);
  const { topic, action, reason } = Object(payload) as { [member: string]: unknown };
  if (type === "__subscribed") return `yes ${String(topic)}`;
  if (type === "__denied") return `no ${String(action)} ${String(topic)} ${String(reason)}`;
  if (type === "__pong") return "pong";
  return type?.startsWith("__") ? "control" : `${type}:${id} ${String(payload)}`;
}

/** Sends these and a ping; all that the hub had sent by its answer. */
async function answers(stage: Stage, ...texts: readonly string[]): Promise<string[]> {
  const wire = wireOf(stage);
  const before = wire.texts.length;
  for (const text of [...texts, control("ping", { n: 7 })]) wire.send(text);
  return stage.wait(
    "__pong on the wire",
    wire.until((all) => {
      const words = all.slice(before).map(word);
      return words[words.length - 1] === "pong" && words;
    }),
  );
}

/** All that the hub sends from now on, to this word. */
async function until(stage: Stage, before: number, last: string): Promise<string[]> {
  const found = await stage.wait(
    `${last} on the wire`,
    wireOf(stage).until((texts) => {
      const words = texts.slice(before).map(word);
      return words.includes(last) && words;
    }),
  );
  return found;
}

/**
 * Every `__subscribe` gets one answer, in order; a topic held twice delivers once; nothing comes unasked, and nothing
 * after `__unsubscribe`. The answer to a ping comes after all that came before it.
 */
export async function readyAnswers(stage: Stage): Promise<void> {
  const [type, wire, sender] = [unique("call"), wireOf(stage), nearOf(stage)];
  const [one, two, never] = [`${type}:1`, `${type}:2`, `${type}:never`];
  const asked = [one, "no topic", one, "__gap:", ":1"].map((topic) => control("subscribe", { topic }));
  asked.push(control("unsubscribe", { topic: never }), control("subscribe", { topic: two }));
  ensureEqual(
    await answers(stage, ...asked),
    [
      `yes ${one}`,
      "no subscribe no topic bad_topic",
      `yes ${one}`,
      "no subscribe __gap: reserved",
      "no subscribe :1 bad_topic",
      `yes ${two}`,
      "pong",
    ],
    "asked for topics the hub said",
  );
  let before = wire.texts.length;
  stage.publish(sender, type, "never", 1);
  stage.publish(sender, type, "1", 2);
  stage.publish(sender, type, "2", FENCE);
  const came = await until(stage, before, `${two} ${FENCE}`);
  ensureEqual(came, [`${one} 2`, `${two} ${FENCE}`], "of topics held twice, once and never came");

  ensureEqual(
    await answers(stage, control("unsubscribe", { topic: one })),
    ["pong"],
    "to __unsubscribe the hub said",
  );
  before = wire.texts.length;
  stage.publish(sender, type, "1", 3);
  stage.publish(sender, type, "2", FENCE + 1);
  const last = `${two} ${FENCE + 1}`;
  ensureEqual(await until(stage, before, last), [last], "after __unsubscribe came");
}

/**
 * A ping is answered with its payload as it came, the version and the features, after all that came before it was
 * handled; its payload is any object, and nothing else.
 */
export async function readyPing(stage: Stage): Promise<void> {
  const [type, log, wire, near] = [unique("call"), stage.log(), wireOf(stage), nearOf(stage)];
  near.addEventListener("error", log.listener(1));
  await stage.listen(near, `${type}:1`, log.listener(0));
  // A listener that answers: by the time of the pong its event has gone out, too.
  await subscribe(stage, `${type}:back`);
  near.addEventListener(`${type}:1`, () => void stage.pubsub(near).publish(type, "back", 1));
  const echoes = [
    "{}",
    '{"n":7}',
    '{ "b" : 1.0, "a":[9007199254740993,1e400,"\\u00e9\\/"], "b":null }',
    '{"type":"__close","echo":{"protocol":2}}',
  ];
  for (const [number, echo] of echoes.entries()) {
    const before = wire.texts.length;
    wire.send(numbered(type, "1", number));
    wire.send(`{"type":"__ping","id":"","payload":${echo}}`);
    const came = await until(stage, before, "pong");
    ensureEqual(came, [`${type}:back 1`, "pong"], "before a ping was answered, and with it, came");
    const pong = wire.texts[wire.texts.length - 1] ?? "";
    const { protocol, features } = Object(envelope(pong).payload) as { [member: string]: unknown };
    ensureEqual(protocol, 1, "a ping was answered with the version");
    ensure(Array.isArray(features), `the pong is ${pong}`);
    ensure(pong.includes(echo), `the ping of ${echo} was answered with ${pong}`);
    ensureEqual(log.payloads(0).pop(), number, "when a ping was answered, the last event heard was");
  }
  const odd = ['{"type":"__ping","id":"","payload":[1]}', '{"type":"__ping","id":""}'];
  ensureEqual(await answers(stage, ...odd), ["pong"], "two pings without an object, and one with, gave");
  ensureEqual(notices(log, 1).length, 2, "errors told of two pings without an object");
}

/** Where connections have no identities, `direct` is a type like any other. */
export async function readyDirect(stage: Stage): Promise<void> {
  const id = unique("somebody");
  const topic = `direct:${id}`;
  const said = await answers(stage, control("subscribe", { topic }));
  ensureEqual(said, [`yes ${topic}`, "pong"], "asked for a direct topic the hub said");
  const before = wireOf(stage).texts.length;
  stage.publish(nearOf(stage), "direct", id, FENCE);
  const event = `${topic} ${FENCE}`;
  ensureEqual(await until(stage, before, event), [event], "of a direct topic came");
}

/** A spoke that does not read is closed with 1013 when more waits for it than the bound; the hub goes on. */
export async function boundedSlowSpoke(stage: Stage): Promise<void> {
  const [type, wire, near, fault] = [unique("call"), wireOf(stage), nearOf(stage), faultOf(stage)];
  await subscribe(stage, `${type}:1`);
  await fault.stall?.();
  const slow = () => near.stats?.().too_slow ?? 0;
  // What the system's own buffers take is not the hub's; 64 MiB are more than they do.
  let sent = 0;
  for (; sent < 4096 && !slow(); sent++) {
    stage.publish(near, type, "1", "x".repeat(16 * 1024));
    await Promise.resolve();
  }
  ensureEqual(slow(), 1, "spokes counted as too slow");
  await fault.goOn?.();
  const code = await endOf(stage);
  ensure(hasCode(code, 1013), `a spoke that was too slow was closed with ${code}`);
  const came = wire.texts.filter((text) => envelope(text).type === type).length;
  ensure(came <= sent, `${came} of ${sent} events were kept for a spoke that did not read`);
  // The hub has not ended.
  stage.publish(near, type, "1", FENCE);
}
