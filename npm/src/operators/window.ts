import { duration, each, type Source, type Stream, whole } from "./stream.js";

export interface WindowOptions {
  /**
   * How many values a window has; with `ms`, how many at most, the oldest leave it first. A whole number from 1 on.
   * Default with `ms`: 1024. Required without.
   */
  count?: number;
  /** How many values further the next window begins; nothing with `ms`. A whole number from 1 on. Default: 1. */
  step?: number;
  /** How many milliseconds a window reaches back from its newest value. Above 0; `Infinity` is allowed. */
  ms?: number;
}

/**
 * Windows that slide over the values, each an array of its own, oldest value first.
 *
 * - By `count`: the last `count` values, every `step` values. A window is always full: a source with fewer than `count`
 *   values has none. With a `step` above `count`, the values between two windows are left out.
 * - By `ms`: for every value, the values that came within `ms` milliseconds before it, itself included, and of these
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
  duration("window: ms", ms);
  return <T>(source: Source<T>) =>
    each<T, T[]>(source, (out, more) => {
      let held: T[] = [];
      // When they came.
      let times: number[] = [];
      // How many values are to pass before the next window begins; below 0 if one has begun already.
      let skip = 0;
      return (value) => {
        if (ms !== undefined) {
          const now = performance.now();
          times.push(now);
          // Times are in order: what is too old comes first.
          times = times.filter((time) => now - time <= ms).slice(-count);
          held = [...held, value].slice(-times.length);
          return out.emit([...held]);
        }
        if (skip-- > 0) return more();
        if (held.push(value) < count) return more();
        const full = held;
        held = full.slice(step);
        skip = step - count;
        out.emit(full);
      };
    });
}
