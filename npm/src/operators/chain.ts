import { concat } from "./flat.js";
import { type Cursor, open, type Source, type Stream } from "./stream.js";

/**
 * All values of the first source, then all of the second, and so on. A source is not touched before the one before it
 * has ended; leaving, or an error, closes every source that has not ended, so that a subscription that waits its turn
 * is given up, too.
 *
 * Note that a subscription registers itself with its first `next()`, here when its turn comes.
 *
 * @throws TypeError if a source cannot be iterated.
 * @example
 * ```ts
 * for await (const event of chain(history, pubsub.subscribe("message", room))) show(event);
 * ```
 */
export function chain<S extends readonly Source<unknown>[]>(
  ...sources: S
): Stream<S[number] extends Source<infer T> ? T : never> {
  type T = S[number] extends Source<infer T> ? T : never;
  const cursors = sources.map(open) as Cursor<T>[];
  return concat(open(cursors), cursors, (cursor) => cursor as Cursor<T>);
}
