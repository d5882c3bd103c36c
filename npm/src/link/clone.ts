// Envelopes as objects, which the runtime clones: the core judges all of them but their payload, which stays as it is.
import { PubSubError } from "../errors.js";
import type { EventEnvelope } from "../types.js";
import type { Format } from "./link.js";
import { checkSurrogates } from "./message.js";

const owns = Object.prototype.propertyIsEnumerable;

/** What has no type and id of its own is a message of somebody else on the same port. */
const isOurs = (data: unknown): data is { type: unknown; id: unknown } =>
  typeof data === "object" &&
  data !== null &&
  !Array.isArray(data) &&
  owns.call(data, "type") &&
  owns.call(data, "id");

const quote = (value: unknown) => (typeof value === "string" ? JSON.stringify(value) : 0);

// The last that was written: who posts a lot posts it on one topic or few.
let lastType: unknown;
let lastId: unknown;
let lastText = "";

/** The JSON of an envelope without its payload: its type and id, and of other members the name alone. */
function outline(envelope: { type: unknown; id: unknown }): string {
  let others = "";
  for (const name of Object.keys(envelope)) {
    if (name !== "type" && name !== "id" && name !== "payload") others += `,${JSON.stringify(name)}:0`;
  }
  const { type, id } = envelope;
  if (!others && type === lastType && id === lastId) return lastText;
  const text = `{"type":${quote(type)},"id":${quote(id)}${others}}`;
  // Short, for it is held.
  if (!others && text.length < 256) {
    lastType = type;
    lastId = id;
    lastText = text;
  }
  return text;
}

export const clone: Format<EventEnvelope> = {
  write(envelope) {
    // What it inherits is not posted.
    if (!isOurs(envelope)) throw new PubSubError("bad_topic", "the envelope has no type and id of its own");
    const text = outline(envelope);
    checkSurrogates(envelope, text);
    return text;
  },
  message: (envelope) => envelope,
  read: (data) => (isOurs(data) ? outline(data) : undefined),
  payload: (data) => (data as EventEnvelope).payload,
};
