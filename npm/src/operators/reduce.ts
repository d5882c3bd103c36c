import { callable } from "../check.js";
import { open, type Source, settle, stream } from "./stream.js";

/**
 * Puts all values of a source together. The source is read from the call on, until it ends.
 *
 * `reducer` is called with one value at a time, in order, and may return a promise. What it throws closes the source
 * and rejects; an error of the source rejects. There is no way to stop it but to end the source: `take` before it, or
 * close the subscription.
 *
 * Without `initial`, the first value is where it starts, and a source without values rejects with a TypeError.
 *
 * @throws TypeError if `reducer` is no function.
 * @example
 * ```ts
 * const sum = await pipe(pubsub.subscribe("paid", "eu"), take(10), reduce((sum, { payload }) => sum + payload.cents, 0));
 * ```
 */
export function reduce<T>(
  reducer: (accumulated: T, value: T) => T | PromiseLike<T>,
): (source: Source<T>) => Promise<T>;
export function reduce<T, A>(
  reducer: (accumulated: A, value: T) => A | PromiseLike<A>,
  initial: A,
): (source: Source<T>) => Promise<A>;
export function reduce<T, A>(
  reducer: (accumulated: A, value: T) => A | PromiseLike<A>,
  ...initial: [A?]
): (source: Source<T>) => Promise<A> {
  callable("reduce: reducer", reducer);
  return async (source) => {
    const cursor = open(source);
    let started = initial.length > 0;
    let accumulated = initial[0] as A;
    const result = stream<A>([cursor], (out) => {
      const took = (value: A) => {
        started = true;
        accumulated = value;
        more();
      };
      const more = () =>
        cursor.pull(
          (value) => settle(() => (started ? reducer(accumulated, value) : (value as never)), took, out.fail),
          () => {
            if (started) out.emit(accumulated);
            else out.fail(new TypeError("reduce: no value, no initial value"));
          },
          out.fail,
        );
      return more;
    });
    return (await result.next()).value as A;
  };
}
