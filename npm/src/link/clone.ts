// Envelopes as objects, which the runtime clones: the core judges all of them but their payload, which stays as it is.
import type { EventEnvelope } from "../types.js";
import type { Format } from "./link.js";
import { checkSurrogates } from "./message.js";

/** The JSON of an envelope: its names, its type and id; in place of all else, a number. */
function outline(envelope: object): string {
  let text = "";
  for (const name of Object.keys(envelope)) {
    const value: unknown = name === "type" || name === "id" ? envelope[name as never] : 0;
    text += `${text && ","}${JSON.stringify(name)}:${typeof value === "string" ? JSON.stringify(value) : 0}`;
  }
  return `{${text}}`;
}

const hasOwn = Object.prototype.propertyIsEnumerable;

/** What has no type and id of its own is a message of somebody else on the same port. */
const isOurs = (data: unknown): data is object =>
  typeof data === "object" &&
  data !== null &&
  !Array.isArray(data) &&
  hasOwn.call(data, "type") &&
  hasOwn.call(data, "id");

export const clone: Format<EventEnvelope> = {
  write(envelope) {
    const text = outline(envelope);
    checkSurrogates(envelope, text);
    return text;
  },
  message: (envelope) => envelope,
  read: (data) => (isOurs(data) ? outline(data) : undefined),
  payload: (data) => (data as EventEnvelope).payload,
};
