/**
 * What went wrong, for programs:
 * - `reserved`: the type begins with `__`, which is for the adapters' own talk
 * - `bad_topic`: the type is empty, type or id is no string, or an event's name is not `<type>:<id>` of its envelope
 * - `closed`: used after its own `close()`
 * - `overflow`: a subscription that asked for an error lost an event, or too many calls of `next()` wait
 */
export type PubSubErrorCode = "reserved" | "bad_topic" | "closed" | "overflow";

/** A mistake of the program, or an overflow that it asked to be told of. */
export class PubSubError extends Error {
  readonly code: PubSubErrorCode;
  /** @internal */
  constructor(code: PubSubErrorCode, message: string) {
    super(message);
    this.name = "PubSubError";
    this.code = code;
  }
}

const show = (value: unknown) => (typeof value === "string" ? JSON.stringify(value) : typeof value);

/** Refuses what is no type and id of an event. */
export function checkTopic(type: unknown, id: unknown): void {
  if (typeof type !== "string" || type === "") {
    throw new PubSubError(
      "bad_topic",
      `an event's type must be a string that is not empty, not ${show(type)}`,
    );
  }
  if (type.startsWith("__")) {
    throw new PubSubError(
      "reserved",
      `types that begin with "__" are for event targets themselves: ${show(type)}`,
    );
  }
  if (typeof id !== "string") {
    throw new PubSubError(
      "bad_topic",
      `the id of ${show(type)} must be a string ("" is one), not ${show(id)}`,
    );
  }
}

/** Tells of an error that must stop nobody: to `onError`, or on the console if there is one. */
export function report(error: unknown, onError: ((error: unknown) => void) | undefined): void {
  try {
    if (onError) return onError(error);
  } catch (another) {
    report(another, undefined);
  }
  if (typeof console === "object") console.error("@alkdev/pubsub: a callback threw", error);
}
