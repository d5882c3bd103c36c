import { type Cursor, open, type Source, type Stream, starter, stream } from "./stream.js";

/** What {@link flat} makes of a `T`: the values in it, or the `T` itself. */
export type Flat<T> = T extends string ? T : T extends AsyncIterable<infer U> | Iterable<infer U> ? U : T;

/**
 * Puts the values of each array, iterable or async iterable in its place: one level, in order, one after the other.
 * Anything else, and any string, is handed on as it is.
 *
 * Nothing is read ahead or held. Leaving closes the inner one under way, too, and then the source; so does an error.
 *
 * @example
 * ```ts
 * pipe(events, map(({ payload }) => payload.items), flat()); // an item at a time
 * pipe(pages, map((page) => readLines(page)), flat());       // all lines, page after page
 * ```
 */
export function flat(): <T>(source: Source<T>) => Stream<Flat<T>> {
  return <T>(source: Source<T>) => {
    const outer = open(source);
    return concat<Flat<T>>(outer, [outer], (value) =>
      typeof value !== "string" && starter(value) ? open(value as Source<Flat<T>>) : undefined,
    );
  };
}

/**
 * What the cursors give that `find` finds in the values of `outer`, one after the other, and the values in which it
 * finds none. Leaving closes the one under way, and `sources`.
 */
export function concat<U>(
  outer: Cursor<unknown>,
  sources: Pick<Cursor<unknown>, "close">[],
  find: (value: unknown) => Cursor<U> | undefined,
): Stream<U> {
  let inner: Cursor<U> | undefined;
  return stream<U>([{ close: async () => inner?.close() }, ...sources], (out) => {
    const ended = () => {
      inner = undefined;
      ask();
    };
    // Each value of `outer` comes from its own loop, so that many that are empty do not grow the stack.
    const handle = (value: unknown) => {
      inner = find(value);
      if (inner) ask();
      else out.emit(value as U);
    };
    const ask = () => {
      if (inner) inner.pull(out.emit, ended, out.fail);
      else outer.pull(handle, out.end, out.fail);
    };
    return ask;
  });
}
