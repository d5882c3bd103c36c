import { callable } from "../check.js";
import { each, type Out, open, type Source, type Stream, settle } from "./stream.js";

/**
 * Puts what `mapper` makes of each value in its place. Used in {@link pipe}, or called with a source.
 *
 * `mapper` is called with one value at a time, in order; a promise that it returns is waited for before the next value
 * is read. What it throws closes the source and rejects. Nothing is held back or read ahead.
 *
 * @throws TypeError if `mapper` is no function.
 * @example
 * ```ts
 * const totals = pipe(pubsub.subscribe("order", "eu"), map(({ payload }) => payload.total));
 * for await (const total of totals) console.log(total);
 * ```
 */
export function map<T, U>(mapper: (value: T) => U | PromiseLike<U>): (source: Source<T>) => Stream<U> {
  callable("map: mapper", mapper);
  return (source) =>
    each(
      open(source),
      (out: Out<U>) => (value) =>
        settle(
          () => mapper(value),
          (made) => out.emit(made),
          out.fail,
        ),
    );
}
