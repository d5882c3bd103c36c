// What laws do at the far side of a link.
import type { Readiness } from "../../types.js";
import type { Peers, Target } from "../fixture.js";
import { Violation } from "../law.js";
import { FENCE, type Log, type Stage, unique } from "../stage.js";
import { control, subscribed, topicOf, type Wire } from "../wire.js";

/** Something that the fixture offers, so that its peers have it. */
function offered<K extends "wire" | "fault">(peers: Peers, name: K): NonNullable<Peers[K]> {
  const found = peers[name];
  if (found === undefined) throw new Violation(`the fixture offers a ${name}, and its peers have none`);
  return found;
}
export const wireOf = ({ peers }: Stage): Wire => offered(peers, "wire");
export const faultOf = ({ peers }: Stage) => offered(peers, "fault");
/** The target at the other end of the wire, or the one that hears what the wire sends. */
export const nearOf = ({ peers, subscriber }: Stage): Target => peers.near ?? subscriber;

export const numbered = (type: string, id: string, payload: unknown): string =>
  JSON.stringify({ type, id, payload });

/** What was asked on a topic so far: `s` for each `__subscribe`, `u` for each `__unsubscribe`. */
export function asked(texts: readonly string[], topic: string): string {
  const letter = (text: string) =>
    topicOf("subscribe", text) === topic ? "s" : topicOf("unsubscribe", text) === topic ? "u" : "";
  return texts.map(letter).join("");
}

export const untilAsked = (stage: Stage, topic: string, wanted: string): Promise<true> =>
  stage.wait(
    `the far side to be asked ${wanted} on ${topic} (s: __subscribe, u: __unsubscribe)`,
    wireOf(stage).until((texts) => asked(texts, topic).length >= wanted.length && (true as const)),
  );

/** What was asked when everything that was done so far has reached the far side. */
export async function askedByNow(stage: Stage, target: Target, topic: string): Promise<string> {
  const marker = unique("marker");
  stage.publish(target, marker, "", undefined);
  await stage.wait(
    "a marker event on the wire",
    wireOf(stage).until((texts) => texts.some((text) => text.includes(marker)) && (true as const)),
  );
  return asked(wireOf(stage).texts, topic);
}

/** As a spoke, asks for a topic and waits for the answer; as a hub everything comes without asking. */
export async function subscribe(stage: Stage, topic: string): Promise<void> {
  const wire = wireOf(stage);
  if (wire.far === "hub") return;
  wire.send(control("subscribe", { topic }));
  await stage.wait(
    "__subscribed on the wire",
    wire.until((texts) => texts.some((text) => topicOf("subscribed", text) === topic) && (true as const)),
  );
}

/** The end of the connection, seen from the far side: its code. */
export async function endOf(stage: Stage): Promise<number | undefined> {
  const wire = wireOf(stage);
  const end = await stage.wait(
    "the end of the connection, seen from the far side",
    wire.until(() => wire.end),
  );
  return end.code;
}

/** Whether an end has this code, or 4000 more where an API refuses those below; or where the medium tells none. */
export const hasCode = (found: number | undefined, ...codes: readonly number[]): boolean =>
  found === undefined || codes.some((code) => found === code || found === code + 3000);

export const ready = async (target: Target, topic: string): Promise<Readiness> =>
  (await target.ready?.(topic)) ?? { status: "unconfirmed" };

/** Asks whether a topic is in place; `isOpen` tells, some turns later, whether that has no answer yet. */
export function asking(target: Target, topic: string) {
  let answer: Readiness | undefined;
  const answered = ready(target, topic).then((found) => {
    answer = found;
    return found;
  });
  return {
    answered,
    async isOpen() {
      await new Promise<void>((resolve) => setTimeout(resolve));
      return answer === undefined;
    },
  };
}

/** What a listener to notices was told. */
export const notices = (log: Log, by: number): Record<string, unknown>[] =>
  log.calls.filter((call) => call.by === by).map(({ event }) => event.detail as Record<string, unknown>);

/** The close notice: resolves with it. */
export function ending(target: Target): Promise<{ readonly reason?: unknown; readonly code?: unknown }> {
  return new Promise((resolve) =>
    target.addEventListener("close", ({ detail }) => resolve(Object(detail) as object)),
  );
}

/** Has the hub say yes to a topic, and then waits until all that it has sent was handled: an event ends it. */
export async function fence(stage: Stage, log: Log, by: number, type: string, id: string, times: number) {
  wireOf(stage).send(subscribed(`${type}:${id}`));
  wireOf(stage).send(numbered(type, id, FENCE));
  await log.toFence(by, times);
}
