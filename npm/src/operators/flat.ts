import { type Cursor, open, type Source, type Stream, stream } from "./stream.js";

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
    let inner: Cursor<Flat<T>> | undefined;
    return stream<Flat<T>>([{ close: async () => inner?.close() }, outer], (out) => {
      const ask = () => {
        if (inner) {
          const ended = () => {
            inner = undefined;
            ask();
          };
          return inner.pull(out.emit, ended, out.fail);
        }
        const handle = (value: T) => {
          const iterable =
            Object(value) === value &&
            (Symbol.asyncIterator in (value as object) || Symbol.iterator in (value as object));
          if (!iterable) return out.emit(value as Flat<T>);
          inner = open(value as Source<Flat<T>>);
          ask();
        };
        outer.pull(handle, out.end, out.fail);
      };
      return ask;
    });
  };
}
