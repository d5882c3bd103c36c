import { check } from "./check.js";
import { report } from "./errors.js";
import type { LightEvent } from "./event.js";
import type { TypedEventListenerOrEventListenerObject as Callback, TypedListenerOptions } from "./types.js";

interface Entry {
  readonly callback: Callback<never>;
  readonly capture: boolean;
  readonly once: boolean;
  readonly passive: boolean;
  /** Stops waiting for the signal. */
  release?: () => void;
  removed?: boolean;
}

/**
 * Listeners by name, as the DOM standard has them where there is no tree: what every event target of this package
 * stands on. Listeners that asked for `capture` come first, then all in the order in which they were added. One that
 * is added during a dispatch does not hear that event; one that is removed is not called any more.
 */
export interface Listeners {
  /** @returns whether it was added: one that is there already is not. */
  add(name: string, callback: Callback<never> | null, options?: TypedListenerOptions | boolean): boolean;
  remove(name: string, callback: Callback<never> | null, options?: TypedListenerOptions | boolean): void;
  /** Calls them, with `target` as `this`. What one throws is reported and stops nobody. */
  dispatch(event: LightEvent, target: object): boolean;
  /** Whether anybody listens to that name. */
  has(name: string): boolean;
  clear(): void;
  stats(): { topics: number; listeners: number; errors: number };
}

const isCapture = (options: TypedListenerOptions | boolean | undefined) =>
  !!(typeof options === "object" ? options?.capture : options);

/** `onRemoved` is told of each listener that goes, be it by `remove`, `once`, a signal or `clear`. */
export function createListeners(
  onError: ((error: unknown) => void) | undefined,
  onRemoved?: (name: string) => void,
): Listeners {
  // A list is never changed, but replaced: a dispatch under way keeps its own.
  const lists = new Map<string, readonly Entry[]>();
  let errors = 0;

  const find = (name: string, callback: unknown, capture: boolean) =>
    lists.get(name)?.find((entry) => entry.callback === callback && entry.capture === capture);

  const drop = (name: string, entry: Entry) => {
    entry.removed = true;
    entry.release?.();
    const left = [...(lists.get(name) ?? [])];
    left.splice(left.indexOf(entry), 1);
    if (left.length) lists.set(name, left);
    else lists.delete(name);
    onRemoved?.(name);
  };

  return {
    add(name, callback, options) {
      if (callback === null || callback === undefined) return false;
      const valid = Object(callback) === callback;
      check(valid, "a listener", "a function or an object", typeof callback, TypeError);
      const { once, passive, signal } = Object(options) as TypedListenerOptions;
      const capture = isCapture(options);
      if (signal?.aborted || find(name, callback, capture)) return false;
      const entry: Entry = { callback, capture, once: !!once, passive: !!passive };
      if (signal) {
        const abort = () => drop(name, entry);
        signal.addEventListener("abort", abort, { once: true });
        entry.release = () => signal.removeEventListener("abort", abort);
      }
      const list = lists.get(name) ?? [];
      const front = capture ? list.filter((other) => other.capture) : list;
      lists.set(name, [...front, entry, ...list.slice(front.length)]);
      return true;
    },

    remove(name, callback, options) {
      const entry = find(name, callback, isCapture(options));
      if (entry) drop(name, entry);
    },

    dispatch(event, target) {
      const { type } = event;
      const list = lists.get(type);
      event.target = target;
      if (list) {
        event.currentTarget = target;
        let phase: boolean | undefined;
        for (const entry of list) {
          if (event.stopped > +(entry.capture === phase)) break;
          phase = entry.capture;
          if (entry.removed) continue;
          if (entry.once) drop(type, entry);
          event.passive = entry.passive;
          try {
            const { callback } = entry;
            if (typeof callback === "function") callback.call(target as never, event as never);
            else callback.handleEvent(event as never);
          } catch (error) {
            errors++;
            report(error, onError);
          }
        }
        event.currentTarget = null;
      }
      return !event.defaultPrevented;
    },

    has: (name) => lists.has(name),

    clear() {
      for (const [name, list] of lists) for (const entry of list) drop(name, entry);
    },

    stats() {
      let topics = 0;
      let listeners = 0;
      for (const [name, { length }] of lists) {
        topics += +name.includes(":");
        listeners += length;
      }
      return { topics, listeners, errors };
    },
  };
}
