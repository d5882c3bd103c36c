import { open, type Source, type Stream, stream } from "./stream.js";

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
  const cursors = sources.map((source) => open(source as Source<T>));
  return stream<T>(cursors, (out) => {
    const ended = () => {
      cursors.shift();
      ask();
    };
    const ask = () => {
      const [cursor] = cursors;
      if (cursor) cursor.pull(out.emit, ended, out.fail);
      else out.end();
    };
    return ask;
  });
}
