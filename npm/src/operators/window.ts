import { duration, now, whole } from "../check.js";
import { each, open, type Source, type Stream } from "./stream.js";

export interface WindowOptions {
  /**
   * How many values a window has; with `ms`, how many at most, the oldest leave it first. A whole number from 1 on.
   * Default with `ms`: 1024. Required without.
   */
  count?: number;
  /** After how many more values the next window is given. A whole number from 1 on. Default: 1. */
  step?: number;
  /** How many milliseconds a window reaches back from its newest value. Above 0; `Infinity` is allowed. */
  ms?: number;
}

/**
 * Windows that slide over the values, each an array of its own, oldest value first.
 *
 * - By `count`: the last `count` values, every `step` values. A window is always full: a source with fewer than `count`
 *   values has none. With a `step` above `count`, the values between two windows are left out.
 * - By `ms`: every `step` values, the values that came within the last `ms` milliseconds, the newest included, and of these
 *   the last `count`. `{ ms: Infinity, count }` gives windows that grow to `count` values.
 *
 * At most `count` values are held. Nothing is read ahead, no timer is set, and a window that nobody looks at is garbage.
 * For arrays that do not overlap, see {@link batch}.
 *
 * @param options Or `count` alone.
 * @throws RangeError if `count`, `step` or `ms` is out of range.
 * @example
 * ```ts
 * const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
 * pipe(samples, window(5), map(mean));                       // of the last five
 * pipe(samples, window({ ms: 60_000, count: 600 }), map(mean)); // of the last minute, at most 600 of them
 * ```
 */
export function window(options: number | WindowOptions): <T>(source: Source<T>) => Stream<T[]> {
  const {
    ms,
    step = 1,
    count = ms === undefined ? 0 : 1024,
  } = typeof options === "number" ? ({ count: options } as WindowOptions) : options;
  whole("window: count", count);
  whole("window: step", step);
  duration("window: ms", ms ?? Infinity);
  return <T>(source: Source<T>) =>
    each<T, T[]>(open(source), (out, more) => {
      const held: [came: number, value: T][] = [];
      let missing = ms === undefined ? count : 1;
      return (value) => {
        const time = now();
        held.push([time, value]);
        while (held.length > count || time - (held[0]?.[0] as number) > (ms as number)) held.shift();
        if (--missing) return more();
        missing = step;
        out.emit(held.map(([, value]) => value));
      };
    });
}
