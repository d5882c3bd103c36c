import { afterEach, expect, test, vi } from "vitest";
import { createInProcessEventTarget, createPubSub, type PubSubError } from "../src/index.js";

const TOPIC = "a:1";
const detail = { type: "a", id: "1", payload: 0 };
const event = (init: CustomEventInit = {}) => new CustomEvent(TOPIC, { detail, ...init }) as never;

function setUp() {
  const errors: unknown[] = [];
  const calls: unknown[] = [];
  const target = createInProcessEventTarget({ onError: (error) => errors.push(error) });
  return { target, errors, calls, mark: (name: unknown) => () => calls.push(name) };
}

afterEach(() => vi.restoreAllMocks());

test("listeners are called in the order in which they were added", () => {
  const { target, calls, mark } = setUp();
  for (const name of [1, 2, 3]) target.addEventListener(TOPIC, mark(name));
  target.addEventListener("a:2", mark("other"));
  expect(target.dispatchEvent(event())).toBe(true);
  expect(calls).toEqual([1, 2, 3]);
});

test("the same callback counts once for each value of capture, and keeps its place", () => {
  const { target, calls, mark } = setUp();
  const twice = mark("twice");
  target.addEventListener(TOPIC, twice);
  target.addEventListener(TOPIC, mark("between"));
  target.addEventListener(TOPIC, twice, { once: true });
  target.addEventListener(TOPIC, twice, false);
  target.addEventListener(TOPIC, twice, true);
  target.dispatchEvent(event());
  expect(calls).toEqual(["twice", "twice", "between"]); // capture first
  target.removeEventListener(TOPIC, twice);
  target.dispatchEvent(event());
  expect(calls.slice(3)).toEqual(["twice", "between"]);
  target.removeEventListener(TOPIC, twice, { capture: true });
  target.dispatchEvent(event());
  expect(calls.slice(5)).toEqual(["between"]);
});

test("once: removed before it is called, so that a nested dispatch does not call it again", () => {
  const { target, calls } = setUp();
  target.addEventListener(
    TOPIC,
    () => {
      calls.push("once");
      target.dispatchEvent(event());
    },
    { once: true },
  );
  target.dispatchEvent(event());
  target.dispatchEvent(event());
  expect(calls).toEqual(["once"]);
  expect(target.stats().listeners).toBe(0);
});

test("signal: aborting removes, also during a dispatch; aborted before, nothing is added", () => {
  const { target, calls, mark } = setUp();
  const controller = new AbortController();
  const remove = vi.spyOn(controller.signal, "removeEventListener");
  target.addEventListener(TOPIC, () => controller.abort());
  target.addEventListener(TOPIC, mark("after"), { signal: controller.signal });
  target.dispatchEvent(event());
  expect(calls).toEqual([]);
  target.addEventListener(TOPIC, mark("late"), { signal: controller.signal });
  target.dispatchEvent(event());
  expect(calls).toEqual([]);
  expect(target.stats().listeners).toBe(1);
  expect(remove).toHaveBeenCalled();
});

test("signal: a listener that is removed leaves nothing on the signal", () => {
  const { target, mark } = setUp();
  const { signal } = new AbortController();
  const added = vi.spyOn(signal, "addEventListener");
  const removed = vi.spyOn(signal, "removeEventListener");
  const listener = mark(1);
  target.addEventListener(TOPIC, listener, { signal });
  target.removeEventListener(TOPIC, listener);
  expect(removed.mock.calls[0]?.[1]).toBe(added.mock.calls[0]?.[1]);
});

test("passive: preventDefault is without effect; else it cancels, and the return value says so", () => {
  const { target } = setUp();
  const passive = (e: Event) => e.preventDefault();
  target.addEventListener(TOPIC, passive as never, { passive: true });
  const first = new CustomEvent(TOPIC, { detail, cancelable: true });
  expect(target.dispatchEvent(first as never)).toBe(true);
  target.addEventListener(TOPIC, (e) => e.preventDefault());
  expect(target.dispatchEvent(event())).toBe(true); // not cancelable
  const second = new CustomEvent(TOPIC, { detail, cancelable: true });
  expect(target.dispatchEvent(second as never)).toBe(false);
  expect([first.defaultPrevented, second.defaultPrevented]).toEqual([false, true]);
});

test("handleEvent is looked up at each call, with the object as `this`", () => {
  const { target, calls } = setUp();
  const listener = {
    name: "first",
    handleEvent() {
      calls.push(this.name);
    },
  };
  target.addEventListener(TOPIC, listener);
  target.dispatchEvent(event());
  listener.handleEvent = () => calls.push("replaced");
  target.dispatchEvent(event());
  expect(calls).toEqual(["first", "replaced"]);
});

test("an object without handleEvent is no mistake until it is called", () => {
  const { target, calls, errors, mark } = setUp();
  target.addEventListener(TOPIC, {} as never);
  target.addEventListener(TOPIC, mark("next"));
  target.dispatchEvent(event());
  expect(errors[0]).toBeInstanceOf(TypeError);
  expect(calls).toEqual(["next"]);
});

test("`this` and the event tell of the target, during the dispatch alone", () => {
  const { target, calls } = setUp();
  let kept: { currentTarget: unknown; target: unknown; eventPhase: number } | undefined;
  target.addEventListener(TOPIC, function (this: unknown, e) {
    kept = e;
    calls.push(
      this === target,
      e.target === target,
      e.currentTarget === target,
      e.eventPhase,
      e.composedPath(),
    );
    calls.push(e.type, e.detail, e.isTrusted, e.bubbles, typeof e.timeStamp);
  });
  target.dispatchEvent(event());
  expect(calls).toEqual([true, true, true, 2, [target], TOPIC, detail, false, false, "number"]);
  expect(kept).toMatchObject({ currentTarget: null, eventPhase: 0 });
  expect(kept?.target).toBe(target);
});

test("null callbacks do nothing; what is neither function nor object is refused", () => {
  const { target } = setUp();
  target.addEventListener(TOPIC, null);
  target.addEventListener(TOPIC, undefined as never);
  target.removeEventListener(TOPIC, null);
  target.removeEventListener("never:added", () => {});
  expect(() => target.addEventListener(TOPIC, 1 as never)).toThrow(TypeError);
  expect(target.dispatchEvent(event())).toBe(true);
});

test("removed during a dispatch: not called any more; added during it: not called yet", () => {
  const { target, calls, mark } = setUp();
  const removed = mark("removed");
  const added = mark("added");
  target.addEventListener(TOPIC, () => {
    target.removeEventListener(TOPIC, removed);
    target.addEventListener(TOPIC, added);
  });
  target.addEventListener(TOPIC, removed);
  target.addEventListener(TOPIC, mark("last"));
  target.dispatchEvent(event());
  expect(calls).toEqual(["last"]);
  target.dispatchEvent(event());
  expect(calls).toEqual(["last", "last", "added"]);
});

test("removed and added again during a dispatch: it is another listener, not called yet", () => {
  const { target, calls, mark } = setUp();
  const again = mark("again");
  target.addEventListener(TOPIC, () => {
    target.removeEventListener(TOPIC, again);
    target.addEventListener(TOPIC, again);
  });
  target.addEventListener(TOPIC, again);
  target.dispatchEvent(event());
  expect(calls).toEqual([]);
});

test("a nested dispatch runs at once; each has its own stops", () => {
  const { target, calls } = setUp();
  let depth = 0;
  target.addEventListener(TOPIC, (e) => {
    calls.push(`in ${depth}`);
    if (depth++ === 0) {
      target.dispatchEvent(event());
      expect(e.currentTarget).toBe(target);
    } else e.stopImmediatePropagation();
  });
  target.addEventListener(TOPIC, () => calls.push("second"));
  target.dispatchEvent(event());
  expect(calls).toEqual(["in 0", "in 1", "second"]);
});

test("an event that a listener hands on to another target is dispatched there, and goes on here", () => {
  const { target, calls, mark } = setUp();
  const other = createInProcessEventTarget();
  other.addEventListener(TOPIC, (e) => e.stopImmediatePropagation());
  target.addEventListener(TOPIC, (e) => {
    other.dispatchEvent(e);
    calls.push(e.currentTarget === target);
  });
  target.addEventListener(TOPIC, mark("second"));
  createPubSub({ eventTarget: target }).publish("a", "1", 0);
  expect(calls).toEqual([true, "second"]);
});

test("stopImmediatePropagation stops all, stopPropagation those of the next phase", () => {
  const { target, calls, mark } = setUp();
  target.addEventListener(TOPIC, mark("bubble"));
  const stop = (e: { stopPropagation(): void }) => e.stopPropagation();
  target.addEventListener(TOPIC, stop, true);
  target.addEventListener(TOPIC, mark("capture"), true);
  target.dispatchEvent(event());
  expect(calls).toEqual(["capture"]);
  target.removeEventListener(TOPIC, stop, true);
  target.addEventListener(TOPIC, (e) => e.stopPropagation());
  target.addEventListener(TOPIC, mark("after"));
  target.dispatchEvent(event());
  expect(calls.slice(1)).toEqual(["capture", "bubble", "after"]);
});

test("a listener that throws stops nobody and is reported once, with the very error", () => {
  const { target, calls, errors, mark } = setUp();
  const error = new Error("mine");
  target.addEventListener(TOPIC, () => {
    throw error;
  });
  target.addEventListener(TOPIC, mark("next"));
  expect(target.dispatchEvent(event())).toBe(true);
  expect([errors.length, errors[0] === error, calls]).toEqual([1, true, ["next"]]);
  expect(target.stats()).toEqual({ topics: 1, listeners: 2, errors: 1 });
});

test("without onError, or if that throws, the console hears of it", () => {
  const log = vi.spyOn(console, "error").mockImplementation(() => {});
  const fail = () => {
    throw new Error("mine");
  };
  for (const target of [createInProcessEventTarget(), createInProcessEventTarget({ onError: fail })]) {
    target.addEventListener(TOPIC, fail);
    target.dispatchEvent(event());
  }
  expect(log.mock.calls.length).toBe(3); // the listener's, onError's, and the listener's again
});

test("what is no event of a topic is refused before anyone hears it", () => {
  const { target, calls, mark } = setUp();
  for (const name of [TOPIC, "close", "__ping:", "b:2"]) target.addEventListener(name as never, mark(name));
  const dispatch = (type: string, detail: unknown) => {
    try {
      target.dispatchEvent({ type, detail } as never);
    } catch (error) {
      return (error as PubSubError).code;
    }
    return undefined;
  };
  expect(dispatch("close", { reason: "" })).toBe("bad_topic");
  expect(dispatch(TOPIC, undefined)).toBe("bad_topic");
  expect(dispatch(TOPIC, { type: "b", id: "2" })).toBe("bad_topic");
  expect(dispatch("__ping:", { type: "__ping", id: "" })).toBe("reserved");
  expect(calls).toEqual([]);
  expect(dispatch(TOPIC, detail)).toBe(undefined);
  expect(calls).toEqual([TOPIC]);
});

test("close: told once, then nobody is called, added, or able to dispatch", () => {
  const { target, calls, mark } = setUp();
  target.addEventListener("close", (e) => {
    calls.push(e.detail.reason);
    target.close();
  });
  target.addEventListener(TOPIC, mark("event"));
  target.close();
  target.close();
  expect(calls).toEqual(["closed by the program"]);
  const refusal = expect.objectContaining({ name: "PubSubError", code: "closed" });
  expect(() => target.dispatchEvent(event())).toThrow(refusal);
  expect(() => target.addEventListener(TOPIC, mark("late"))).toThrow(refusal);
  expect(target.stats().listeners).toBe(0);
});
