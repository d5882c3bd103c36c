import { callable } from "../check.js";
import { each, open, type Source, type Stream, settle } from "./stream.js";

/**
 * Keeps the values for which `keep` says yes. Used in {@link pipe}, or called with a source.
 *
 * `keep` is called with one value at a time, in order, and may return a promise. What it throws closes the source and
 * rejects. Nothing is held back or read ahead.
 *
 * @throws TypeError if `keep` is no function.
 * @example
 * ```ts
 * const large = pipe(pubsub.subscribe("order", "eu"), filter(({ payload }) => payload.total > 100));
 * for await (const { id, payload } of large) console.log(id, payload.total);
 * ```
 */
export function filter<T, U extends T>(keep: (value: T) => value is U): (source: Source<T>) => Stream<U>;
export function filter<T>(
  keep: (value: T) => boolean | PromiseLike<boolean>,
): (source: Source<T>) => Stream<T>;
export function filter<T>(
  keep: (value: T) => boolean | PromiseLike<boolean>,
): (source: Source<T>) => Stream<T> {
  callable("filter: keep", keep);
  return (source) =>
    each(
      open(source),
      (out, more) => (value) =>
        settle(
          () => keep(value),
          (kept) => (kept ? out.emit(value) : more()),
          out.fail,
        ),
    );
}
