import { type Cursor, open, type Source, type Stream, stream } from "./stream.js";

/**
 * The values of several sources as they come, until all have ended. The first `next()` asks all of them, in order,
 * before it returns.
 *
 * Each `next()` asks every source that has no value waiting, so that at most one value per source is read ahead, and a
 * busy source cannot keep another one out: a value that has come waits for at most one value of each other source.
 * What came first is given first, an error as well; it closes the other sources.
 *
 * @throws TypeError if a source cannot be iterated.
 * @example
 * ```ts
 * for await (const { type, id } of join(pubsub.subscribe("added", list), pubsub.subscribe("removed", list))) …
 * ```
 */
export function join<S extends readonly Source<unknown>[]>(
  ...sources: S
): Stream<S[number] extends Source<infer T> ? T : never> {
  type T = S[number] extends Source<infer T> ? T : never;
  const cursors = sources.map(open) as Cursor<T>[];
  return stream<T>(cursors, (out) => {
    const idle = new Set(cursors);
    const arrived: (() => void)[] = [];
    let running = idle.size;
    let wanted = false;
    const come = (answer: () => void) => {
      arrived.push(answer);
      give();
    };
    const give = () => {
      if (!wanted) return;
      const next = arrived.shift();
      if (next || !running) {
        wanted = false;
        (next ?? out.end)();
      }
    };
    return () => {
      for (const cursor of [...idle]) {
        idle.delete(cursor);
        cursor.pull(
          (value) =>
            come(() => {
              idle.add(cursor);
              out.emit(value);
            }),
          () => {
            running--;
            give();
          },
          (error) => come(() => out.fail(error)),
        );
      }
      wanted = true;
      give();
    };
  });
}
