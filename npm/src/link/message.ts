// What links and hubs have in common: what is sent, what is received, and what is said of it.
import { type Core, UNKNOWN } from "../core/core.js";
import { PubSubError, type PubSubErrorCode } from "../errors.js";
import type { EventEnvelope } from "../types.js";

export const now = () => (typeof performance === "object" ? performance : Date).now();
/** Notices have names without a colon; all else that is listened to is a topic. */
export const isTopic = (name: string) => name.includes(":");

/** What was refused, by the core's name for it, and where. */
export function refusal(core: Core<unknown>, code: PubSubErrorCode): PubSubError {
  const [name, number] = [core.text(), core.words()[2] as number];
  const isLimit = name === "too_large" || name === "too_deep";
  const where = number === UNKNOWN ? "" : isLimit ? `, more than ${number}` : ` at byte ${number}`;
  return new PubSubError(
    isLimit && code !== "bad_input" ? name : code,
    `this is no envelope: ${name}${where}`,
  );
}

/**
 * The payload of a message of so many bytes, which is in them from one byte to another; both 0 where there is none.
 * `plain`: all before it, and all behind, is ASCII, so that places in a string are found from its ends.
 */
export function payloadOf(
  core: Core<unknown>,
  data: string | Uint8Array,
  length: number,
  from: number,
  to: number,
  plain: number,
): unknown {
  if (!to) return undefined;
  if (typeof data !== "string") return JSON.parse(core.slice(from, to));
  return plain ? JSON.parse(data.slice(from, data.length - (length - to))) : JSON.parse(data).payload;
}

export function bytesOf(data: unknown): Uint8Array {
  if (data instanceof Uint8Array) return data;
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  // Of another realm, too. What is no message at all is one without a byte, which is refused.
  return Object.prototype.toString.call(data) === "[object ArrayBuffer]"
    ? new Uint8Array(data as ArrayBuffer)
    : new Uint8Array(0);
}

/** The envelope's JSON. Nothing of it is lost on the way without a word. */
export function toText(envelope: EventEnvelope): string {
  const { type, id, payload } = envelope;
  let text: string | undefined;
  try {
    text = JSON.stringify(envelope);
  } catch (error) {
    throw new PubSubError("not_json", `the payload of ${type}:${id} is not JSON: ${error}`);
  }
  if (typeof payload === "function" || typeof payload === "symbol") {
    throw new PubSubError("not_json", `the payload of ${type}:${id} is a ${typeof payload}`);
  }
  checkSurrogates(envelope, text);
  return text;
}

/** Half of a pair of surrogates is written as an escape. */
export function checkSurrogates({ type, id }: EventEnvelope, text: string): void {
  if (text.includes("\\ud") && /\p{Surrogate}/u.test(type + id)) {
    throw new PubSubError("bad_topic", "type or id holds a lone surrogate");
  }
}

/** Whether so few brackets open in the text, those in strings counted, too. */
export const hasAtMost = (brackets: number, text: string): boolean =>
  count("{", text, brackets) + count("[", text, brackets) <= brackets;

/** How many there are; no more than one too many is looked for. */
function count(bracket: string, text: string, most: number): number {
  let found = 0;
  for (let at = text.indexOf(bracket); at >= 0 && found <= most; at = text.indexOf(bracket, at + 1)) found++;
  return found;
}

/** No more than needed of it is counted. */
export function utf8Length(text: string): number {
  return text.length > 1365 ? new TextEncoder().encode(text).length : text.length;
}

/** The most that the core counts. */
const MOST = 0x7fffffff;

/**
 * A bound that may be given, or the usual one; one without end is the most that the core counts.
 *
 * @throws RangeError for what is no number from 0 on.
 */
export function bound(name: string, given: number | undefined, usual: number): number {
  if (given === undefined) return usual;
  if (typeof given !== "number" || !(given >= 0)) {
    throw new RangeError(`${name} must be a number from 0 on, not ${given}`);
  }
  return Math.min(Math.floor(given), MOST);
}
