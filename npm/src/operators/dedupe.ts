import { callable, duration, now, whole } from "../check.js";
import { each, open, type Source, type Stream, settle } from "./stream.js";

export interface DedupeOptions<T, K = unknown> {
  /** What makes two values the same: their keys are compared as in a `Map`. May return a promise. Default: the value itself. */
  key?: (value: T) => K | PromiseLike<K>;
  /** How many keys are remembered, the oldest is forgotten first. A whole number from 1 on. Default: 1, or 1024 with `ms`. */
  last?: number;
  /** For how many milliseconds a key is remembered. Above 0. Default: without end. */
  ms?: number;
}

/**
 * Leaves out what has been there before: a value is dropped if its key is among the last `last` keys that were let
 * through, not more than `ms` milliseconds ago. A dropped value does not make its key any younger, so that with `ms`
 * something that is repeated for ever comes through once in that time.
 *
 * `dedupe()` compares each value with the one before. At most `last` keys are held, and no value. It sets no timer.
 *
 * @param options Or the `key` alone.
 * @throws TypeError if `key` is no function; RangeError if `last` or `ms` is out of range.
 * @example
 * ```ts
 * // A publisher that tries again sends the same message id; two minutes are enough to know it by.
 * pipe(events, dedupe({ key: ({ payload }) => payload.messageId, last: 10_000, ms: 120_000 }));
 * // Only changes.
 * pipe(events, map(({ payload }) => payload.status), dedupe());
 * ```
 */
export function dedupe<T, K = unknown>(
  options: ((value: T) => K | PromiseLike<K>) | DedupeOptions<T, K> = {},
): (source: Source<T>) => Stream<T> {
  const {
    key = (value: T) => value,
    ms = Infinity,
    last = ms < Infinity ? 1024 : 1,
  }: DedupeOptions<T> = typeof options === "function" ? { key: options } : options;
  callable("dedupe: key", key);
  duration("dedupe: ms", ms);
  whole("dedupe: last", last);
  return (source) =>
    each(open(source), (out, more) => {
      // Key to the time when it was let through. A Map keeps the order of insertion, here the order of age.
      const passed = new Map<unknown, number>();
      // Goes along with the map: a new one would walk over all that was deleted before it comes to the oldest.
      const oldest = passed.keys();
      return (value) =>
        settle(
          () => key(value),
          (key) => {
            const time = now();
            // NaN, which is no less, for a key that is not remembered.
            if (time - (passed.get(key) as number) <= ms) return more();
            passed.delete(key);
            if (passed.size >= last) passed.delete(oldest.next().value);
            passed.set(key, time);
            out.emit(value);
          },
          out.fail,
        );
    });
}
