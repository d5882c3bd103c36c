// The in-process target beside what the DOM standard says of listeners, at random: listeners that add, remove, abort,
// stop and dispatch within a dispatch. It differs in one thing: a listener that a capturing one adds waits for the
// next event.
import fc from "fast-check";
import { expect, test } from "vitest";
import { createInProcessEventTarget, type TypedEvent, type TypedListenerOptions } from "../src/index.js";

type Listener = ((event: TypedEvent) => void) | { handleEvent(event: TypedEvent): void };
type Options = TypedListenerOptions | boolean | undefined;

interface Subject {
  add(name: string, listener: Listener | null, options: Options): void;
  remove(name: string, listener: Listener, options: Options): void;
  dispatch(name: string, cancelable: boolean): boolean;
}

function ours(): Subject {
  const target = createInProcessEventTarget();
  return {
    add: (name, listener, options) => target.addEventListener(name as "a:", listener as never, options),
    remove: (name, listener, options) =>
      target.removeEventListener(name, listener as never, options as never),
    dispatch(name, cancelable) {
      const detail = { type: name.slice(0, -1), id: "", payload: 0 };
      return target.dispatchEvent(new CustomEvent(name, { cancelable, detail }) as never);
    },
  };
}

/** The standard, in its own steps. */
function standard(): Subject {
  interface Entry {
    listener: Listener;
    capture: boolean;
    once: boolean;
    passive: boolean;
    removed: boolean;
  }
  const lists: Record<string, Entry[]> = { "a:": [], "b:": [] };
  const list = (name: string) => lists[name] as Entry[];
  const captures = (options: Options) => (typeof options === "object" ? !!options.capture : !!options);
  const find = (name: string, listener: Listener, capture: boolean) =>
    list(name).find((entry) => entry.listener === listener && entry.capture === capture);
  const drop = (name: string, entry: Entry) => {
    entry.removed = true;
    lists[name] = list(name).filter((other) => other !== entry);
  };
  return {
    add(name, listener, options) {
      const { once = false, passive = false, signal } = Object(options) as TypedListenerOptions;
      const capture = captures(options);
      if (signal?.aborted || !listener || find(name, listener, capture)) return;
      const entry = { listener, capture, once, passive, removed: false };
      list(name).push(entry);
      signal?.addEventListener("abort", () => drop(name, entry));
    },
    remove(name, listener, options) {
      const entry = find(name, listener, captures(options));
      if (entry) drop(name, entry);
    },
    dispatch(name, cancelable) {
      let stopped = 0;
      let passive = false;
      let cancelled = false;
      const event = {
        type: name,
        stopPropagation: () => (stopped ||= 1),
        stopImmediatePropagation: () => (stopped = 2),
        preventDefault: () => (cancelled ||= cancelable && !passive),
      } as unknown as TypedEvent;
      const entries = [...list(name)];
      for (const capture of [true, false]) {
        if (stopped) break;
        for (const entry of entries) {
          if (entry.removed || entry.capture !== capture) continue;
          if (entry.once) drop(name, entry);
          passive = entry.passive;
          if (typeof entry.listener === "function") entry.listener(event);
          else entry.listener.handleEvent(event);
          if (stopped === 2) break;
        }
      }
      return !cancelled;
    },
  };
}

const kinds = ["add", "add", "remove", "abort", "stop", "stopNow", "prevent", "null", "dispatch"] as const;
const action = fc.record({
  kind: fc.constantFrom(...kinds),
  name: fc.constantFrom("a:", "b:"),
  which: fc.nat({ max: 4 }),
  signal: fc.option(fc.nat({ max: 2 })),
  once: fc.boolean(),
  passive: fc.boolean(),
  capture: fc.boolean(),
  plain: fc.boolean(),
});
type Action = typeof action extends fc.Arbitrary<infer A> ? A : never;

/** What is called and returned, in order. Each listener has something to do at each of its first calls. */
function play(subject: Subject, plan: Action[], scripts: Action[][][]): string[] {
  const log: string[] = [];
  const controllers = [0, 1, 2].map(() => new AbortController());
  let depth = 0;
  const listeners = scripts.map((script, index): Listener => {
    const left = [...script];
    const call = (event: TypedEvent) => {
      log.push(`${index} ${event.type}`);
      for (const step of left.shift() ?? []) act(step, event);
    };
    return index % 2 ? { handleEvent: call } : call;
  });
  const act = ({ kind, name, which, signal, capture, plain, once, passive }: Action, event?: TypedEvent) => {
    const of = signal === null ? {} : { signal: (controllers[signal] as AbortController).signal };
    const listener = listeners[which] as Listener;
    if (kind === "add") subject.add(name, listener, plain ? capture : { capture, once, passive, ...of });
    else if (kind === "null") subject.add(name, null, undefined);
    else if (kind === "remove") subject.remove(name, listener, plain ? capture : { capture });
    else if (kind === "abort") controllers[which % 3]?.abort();
    else if (kind === "stop") event?.stopPropagation();
    else if (kind === "stopNow") event?.stopImmediatePropagation();
    else if (kind === "prevent") event?.preventDefault();
    else if (depth < 3) {
      depth++;
      log.push(`${name} ${subject.dispatch(name, once)}`);
      depth--;
    }
  };
  for (const step of plan) act(step);
  for (const name of ["a:", "b:"]) log.push(`${name} ${subject.dispatch(name, true)}`);
  return log;
}

test("listeners are called as the DOM standard says", () => {
  const script = fc.array(fc.array(action, { maxLength: 3 }), { maxLength: 3 });
  const scripts = fc.array(script, { minLength: 5, maxLength: 5 });
  fc.assert(
    fc.property(fc.array(action, { minLength: 5, maxLength: 25 }), scripts, (plan, all) => {
      expect(play(ours(), plan, all)).toEqual(play(standard(), plan, all));
    }),
    { numRuns: 500 },
  );
});
