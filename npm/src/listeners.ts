import { report } from "./errors.js";
import { dispatching } from "./event.js";
import type {
  TypedEventListenerOrEventListenerObject as Callback,
  TypedEvent,
  TypedListenerOptions,
} from "./types.js";

interface Entry {
  readonly callback: Callback<never>;
  readonly capture: boolean;
  readonly once: boolean;
  readonly passive: boolean;
  /** Stops waiting for the signal. */
  release: (() => void) | undefined;
  removed: boolean;
}

/** Those of one name. `entries` is not changed while a dispatch runs over it, but replaced. */
interface List {
  entries: Entry[];
  captures: number;
  running: number;
}

/**
 * Listeners by name, as the DOM standard has them where there is no tree: what every event target of this package
 * stands on. Listeners that asked for `capture` come first, then all in the order in which they were added. One that
 * is added during a dispatch does not hear that event; one that is removed is not called any more.
 */
export interface Listeners {
  /** @returns whether it is the first of its name. */
  add(name: string, callback: Callback<never> | null, options?: TypedListenerOptions | boolean): boolean;
  /** @returns whether it was the last of its name. */
  remove(name: string, callback: Callback<never> | null, options?: TypedListenerOptions | boolean): boolean;
  /** Calls them, with `target` as `this`. What one throws is reported and stops nobody. */
  dispatch(event: TypedEvent, target: object): boolean;
  has(name: string): boolean;
  clear(): void;
  stats(): { topics: number; listeners: number; errors: number };
}

/** `onLast` is told when the last listener of a name went by itself: it was for `once`, or by its signal. */
export function createListeners(
  onError: ((error: unknown) => void) | undefined,
  onLast?: (name: string) => void,
): Listeners {
  const lists = new Map<string, List>();
  let errors = 0;

  const find = (list: List | undefined, callback: unknown, capture: boolean) =>
    list ? list.entries.findIndex((entry) => entry.callback === callback && entry.capture === capture) : -1;

  const writable = (list: List) => {
    if (list.running > 0) list.entries = list.entries.slice();
    return list.entries;
  };

  const drop = (name: string, list: List, entry: Entry): boolean => {
    if (entry.removed) return false;
    entry.removed = true;
    entry.release?.();
    const entries = writable(list);
    entries.splice(entries.indexOf(entry), 1);
    if (entry.capture) list.captures--;
    if (entries.length > 0) return false;
    lists.delete(name);
    return true;
  };

  return {
    add(name, callback, options) {
      if (callback === null || callback === undefined) return false;
      if (typeof callback !== "function" && typeof callback !== "object") {
        throw new TypeError(`a listener must be a function, an object or null, not ${typeof callback}`);
      }
      const given = typeof options === "boolean" ? { capture: options } : options;
      const { capture = false, once = false, passive = false, signal } = given ?? {};
      if (signal?.aborted) return false;
      let list = lists.get(name);
      if (find(list, callback, !!capture) >= 0) return false;
      const first = list === undefined;
      if (!list) {
        list = { entries: [], captures: 0, running: 0 };
        lists.set(name, list);
      }
      const entry: Entry = {
        callback,
        capture: !!capture,
        once: !!once,
        passive: !!passive,
        release: undefined,
        removed: false,
      };
      const of = list;
      if (entry.capture) writable(of).splice(of.captures++, 0, entry);
      else writable(of).push(entry);
      if (signal) {
        const abort = () => {
          if (drop(name, of, entry)) onLast?.(name);
        };
        signal.addEventListener("abort", abort, { once: true });
        entry.release = () => signal.removeEventListener("abort", abort);
      }
      return first;
    },

    remove(name, callback, options) {
      const capture = typeof options === "boolean" ? options : !!options?.capture;
      const list = lists.get(name);
      const entry = list?.entries[find(list, callback, capture)];
      return !!entry && drop(name, list as List, entry);
    },

    dispatch(event, target) {
      const state = dispatching(event);
      if (state.currentTarget) {
        throw Object.assign(new Error("the event is being dispatched already"), {
          name: "InvalidStateError",
        });
      }
      const list = lists.get(event.type);
      state.target = target;
      if (list) {
        state.currentTarget = target;
        const { entries } = list;
        list.running++;
        for (let i = 0; i < entries.length; i++) {
          const entry = entries[i] as Entry;
          if (state.stopped > (entry.capture ? 1 : 0)) break;
          if (entry.removed) continue;
          if (entry.once && drop(event.type, list, entry)) onLast?.(event.type);
          state.passive = entry.passive;
          try {
            const { callback } = entry;
            if (typeof callback === "function") callback.call(target as never, event as never);
            else callback.handleEvent(event as never);
          } catch (error) {
            errors++;
            report(error, onError);
          }
        }
        list.running--;
        state.currentTarget = null;
        state.passive = false;
      }
      state.stopped = 0;
      return !event.defaultPrevented;
    },

    has: (name) => lists.has(name),

    clear() {
      for (const [name, list] of lists) for (const entry of [...list.entries]) drop(name, list, entry);
    },

    stats() {
      let listeners = 0;
      for (const list of lists.values()) listeners += list.entries.length;
      return { topics: lists.size, listeners, errors };
    },
  };
}
