import { duration, whole } from "../check.js";
import { open, type Source, type Stream, stream } from "./stream.js";

export interface BatchOptions {
  /** How many values a batch has at most. A whole number from 1 on. Default: 1024. */
  count?: number;
  /**
   * How many milliseconds a batch waits for more after its first value. Above 0, at most 2147483647, which is about
   * 24 days. Default: until `count`, or the end.
   */
  ms?: number;
}

/**
 * Puts values together in arrays, each value in one. A batch is given when it has `count` values, or `ms` milliseconds
 * after its first, or when the source ends or fails; the error comes after it. It is never empty.
 *
 * It reads only while a batch is asked for, and the time begins when a batch is asked for and its first value is
 * there. When the time is over one read may be under way: its value is the first of the next batch. At most
 * `count` values are held. There is a timer only while a batch waits for it; it does not keep a process alive.
 *
 * @param options Or `count` alone.
 * @throws RangeError if `count` or `ms` is out of range.
 * @example
 * ```ts
 * // Rows of up to 100, none older than a quarter of a second.
 * for await (const rows of pipe(events, batch({ count: 100, ms: 250 }))) await table.insert(rows);
 * ```
 */
export function batch(options: number | BatchOptions = {}): <T>(source: Source<T>) => Stream<T[]> {
  const { count = 1024, ms = Infinity } =
    typeof options === "number" ? ({ count: options } as BatchOptions) : options;
  whole("batch: count", count);
  // A longer timer fires at once.
  duration("batch: ms", ms, 2 ** 31 - 1);
  return <T>(source: Source<T>) => {
    const cursor = open(source);
    let held: T[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    // Without `ms` no timers are needed, also of the runtime.
    const clear = async () => {
      if (timer) clearTimeout(timer);
      timer = undefined;
    };
    return stream<T[]>([cursor, { close: clear }], (out) => {
      let wanted = false;
      let reading = false;
      const give = () => {
        const full = held;
        held = [];
        wanted = false;
        clear();
        out.emit(full);
      };
      // `reading` stays true: nobody reads on.
      const finish = (end: () => void) => {
        if (held.length) give();
        end();
      };
      const fill = () => {
        if (!wanted) return;
        if (held.length >= count) return give();
        if (ms < Infinity && held.length && timer === undefined) {
          timer = setTimeout(give, ms);
          // A number in a browser.
          (timer as { unref?(): void }).unref?.();
        }
        if (reading) return;
        reading = true;
        cursor.pull(
          (value) => {
            reading = false;
            held.push(value);
            fill();
          },
          () => finish(out.end),
          (error) => finish(() => out.fail(error)),
        );
      };
      return () => {
        wanted = true;
        fill();
      };
    });
  };
}
