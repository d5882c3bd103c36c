import { whole } from "../check.js";
import { reduce } from "./reduce.js";
import type { Source } from "./stream.js";

export interface ToArrayOptions {
  /** More values than this are an error. A whole number from 0 on. Default: no limit. */
  limit?: number;
}

/**
 * All values of a source, as an array. The source is read from the call on, until it ends; an error of it rejects.
 *
 * The array grows with the source, so a subscription wants a {@link take} before it or a `limit`: the value beyond
 * `limit` closes the source and rejects with a RangeError.
 *
 * @throws RangeError if `limit` is no whole number from 0 on.
 * @example
 * ```ts
 * const three = await pipe(pubsub.subscribe("tick", ""), take(3), toArray());
 * const all = await pipe(readEvents(file), toArray({ limit: 10_000 }));
 * ```
 */
export function toArray({ limit = Infinity }: ToArrayOptions = {}): <T>(source: Source<T>) => Promise<T[]> {
  whole("toArray: limit", limit, 0);
  return <T>(source: Source<T>) =>
    // An array for each call, so that an operator can be used twice.
    reduce<T, T[]>((values, value) => {
      if (values.length === limit) throw new RangeError(`toArray: more than ${limit} values came`);
      values.push(value);
      return values;
    }, [])(source);
}
