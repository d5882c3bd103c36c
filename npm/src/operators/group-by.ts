import { callable, choice, whole } from "../check.js";
import { type Cursor, type Out, open, type Source, type Stream, settle, stream } from "./stream.js";

/** The values of one key. A {@link Stream} of its own, to be read or to be left alone. */
export type Group<K, T> = Stream<T> & { readonly key: K };

export interface GroupByOptions<T, K = unknown> {
  /** How many values a group holds that nobody has read. A whole number from 1 on. Default: 1024. */
  buffer?: number;
  /**
   * What happens to a value for a group that is full: `"drop-oldest"` (the default) drops the group's oldest value,
   * `"drop-newest"` drops this one, `"error"` drops it and ends this group, with a RangeError after what it holds.
   */
  overflow?: "drop-oldest" | "drop-newest" | "error";
  /**
   * How many groups are open at a time. A whole number from 1 on. Default: 1024. A key beyond it ends the group that
   * has been without a new value for the longest time.
   */
  groups?: number;
  /** Is told each value that is lost because nobody read it in time. */
  onLoss?: (value: T, key: K) => void;
}

type Ending = (out: Out<unknown>) => void;

const ended: Ending = (out) => out.end();

/** What is read: a group, or the stream of groups. */
interface Queue {
  held: unknown[];
  values: Stream<unknown>;
  /** Answers who waits: with a value, or with the end. */
  answer?: () => void;
  /** What comes after what is held. Set once no value will come any more. */
  ending?: Ending;
  /** Its reader has gone. */
  left?: boolean;
}

/**
 * Sorts values into a stream for each key. Gives a {@link Group} whenever a key comes for the first time.
 *
 * The source is read while anybody waits for something: for the next group, or for the next value of one. Values of
 * other groups are held meanwhile, at most `buffer` in each of at most `groups` groups; a group that nobody reads
 * blocks nobody. What does not fit is dropped as `overflow` says, and told to `onLoss`.
 *
 * - Leaving a group: further values of its key are passed over, until the group would be ended for room.
 * - Leaving the stream of groups closes the source. The groups end after what they hold.
 * - The group that has been without a value for the longest time is ended when there are more than `groups`. What it
 *   holds can still be read, unless it had never been handed out: then it is lost. Should its key come again, that is
 *   a new group.
 * - An error, of the source or of `key`, reaches the stream of groups and every open group, each after what it holds.
 *
 * @throws TypeError if `key` is no function; RangeError for an unknown `overflow`, or if `buffer` or `groups` is out of range.
 * @example
 * ```ts
 * for await (const room of pipe(messages, groupBy(({ id }) => id))) void archive(room.key, room);
 * ```
 */
export function groupBy<T, K>(
  key: (value: T) => K | PromiseLike<K>,
  { buffer = 1024, groups = 1024, overflow = "drop-oldest", onLoss }: GroupByOptions<T, K> = {},
): (source: Source<T>) => Stream<Group<K, T>> {
  callable("groupBy: key", key);
  whole("groupBy: buffer", buffer);
  whole("groupBy: groups", groups);
  choice("groupBy: overflow", overflow);
  return (source) => {
    const cursor = open(source);
    // The group that has been without a value for the longest time comes first.
    const running = new Map<K, Queue>();
    const waiting = new Set<Queue>();
    let reading = false;

    const make = (...sources: Pick<Cursor<T>, "close">[]): Queue => {
      const close = async () => {
        waiting.delete(queue);
        queue.left = true;
        queue.held = [];
      };
      const queue: Queue = {
        held: [],
        values: stream<unknown>([{ close }, ...sources], (out) => {
          queue.answer = () => {
            if (queue.held.length) out.emit(queue.held.shift());
            else if (queue.ending) queue.ending(out);
            else {
              waiting.add(queue);
              read();
            }
          };
          return queue.answer;
        }),
      };
      return queue;
    };
    const wake = (queue: Queue) => {
      if (waiting.delete(queue)) queue.answer?.();
    };
    const finish = (queue: Queue, how: Ending) => {
      queue.ending ??= how;
      wake(queue);
    };
    const stop = (how = ended) => {
      reading = true;
      for (const group of running.values()) finish(group, how);
      running.clear();
      finish(found, how);
    };
    const fail = (error: unknown) => {
      stop((out) => out.fail(error));
      cursor.close().catch(() => {});
    };
    const read = () => {
      if (reading) return;
      reading = true;
      const sorted = () => {
        reading = false;
        if (waiting.size) read();
      };
      cursor.pull(
        (value) =>
          settle(
            () => key(value),
            (key) => settle(() => sort(key, value), sorted, fail),
            fail,
          ),
        stop,
        fail,
      );
    };
    const sort = (key: K, value: T) => {
      let group = running.get(key);
      running.delete(key);
      if (!group) {
        for (const [oldest, old] of running) {
          if (running.size < groups) break;
          running.delete(oldest);
          finish(old, ended);
          const at = found.held.indexOf(old.values);
          if (at >= 0) {
            found.held.splice(at, 1);
            for (const lost of old.held) onLoss?.(lost as T, oldest);
          }
        }
        group = make();
        found.held.push(Object.assign(group.values, { key }));
      }
      running.set(key, group);

      const { held } = group;
      if (group.left) return;
      if (held.length >= buffer && overflow === "error") {
        group.ending = (out) => out.fail(new RangeError(`groupBy: a group held ${buffer} values`));
      }
      if (group.ending || (held.length >= buffer && overflow === "drop-newest")) return onLoss?.(value, key);
      held.push(value);
      wake(group);
      wake(found);
      if (held.length > buffer) onLoss?.(held.shift() as T, key);
    };
    const found = make(cursor, { close: async () => stop() });
    return found.values as Stream<Group<K, T>>;
  };
}
