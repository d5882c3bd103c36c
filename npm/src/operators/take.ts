import { whole } from "../check.js";
import { each, open, type Source, type Stream, stream } from "./stream.js";

/**
 * The first `count` values. The source is closed when the last of them has come, not at the `next()` after it; should
 * its clean-up fail, that `next()` rejects. `take(0)` is empty and never touches the source. `Infinity` takes all.
 *
 * @param count A whole number from 0 on, or `Infinity`.
 * @throws RangeError for any other `count`.
 * @example
 * ```ts
 * // The next answer, and nothing stays subscribed.
 * const [answer] = await pipe(pubsub.subscribe("call.responded", "uuid-123"), take(1), toArray());
 * ```
 */
export function take(count: number): <T>(source: Source<T>) => Stream<T> {
  whole("take: count", count, 0);
  return <T>(source: Source<T>) =>
    count
      ? each<T, T>(open(source), (out) => {
          let left = count;
          return (value) => out.emit(value, !--left);
        })
      : stream<T>([], (out) => out.end);
}
