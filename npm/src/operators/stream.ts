import { check } from "../check.js";

/**
 * What every operator stands on: how a source is read, and the shape of what an operator returns.
 *
 * Between two operators values do not travel as promises. An operator's stream carries a hidden {@link Cursor}, which
 * the next operator pulls by callback, so that a whole pipe costs one microtask more per value than its source,
 * however long it is. Anything else is read through its iterator.
 */

/** What an operator reads: anything that `for await` reads. */
export type Source<T> = AsyncIterable<T> | Iterable<T>;

/**
 * What an operator returns. It can be iterated once.
 *
 * - Nothing happens before the first `next()`, which calls the source's first `next()` before it returns.
 * - Calls of `next()` that overlap are answered in their order; the source is asked for one value at a time.
 * - `return()`, which is what `break` calls, answers the calls of `next()` that wait with `done`, calls the source's
 *   `return()` once, and resolves when that has. A failure of the source's clean-up rejects it.
 * - An error, of the source or of a callback, closes the source, rejects one `next()` with the same error object, and
 *   ends the stream.
 * - `throw(error)` closes the source like `return()` and rejects with `error`.
 */
export type Stream<T> = AsyncGenerator<T, void, undefined>;

export type Failure = (error: unknown) => void;

export interface Cursor<T> {
  /**
   * Asks for one value. One of the three is called, once, at once or later: with the value, at the end, with the
   * error. None of them throws. A foreign source that is closed meanwhile calls none.
   */
  pull(value: (value: T) => void, end: () => void, fail: Failure): void;
  /** Ends it. Does nothing to a source that has ended or failed by itself. */
  close(): Promise<unknown>;
}

/** How an operator answers what was asked of it. After the end of its stream, none of these does anything. */
export interface Out<T> {
  /** Answers with a value. If it is the last one, the sources are closed first. */
  emit(value: T, last?: boolean): void;
  /** The sources have ended, all of them. */
  end(): void;
  /** Closes the sources and rejects. */
  fail: Failure;
}

const CURSOR = Symbol("cursor");

/** Calls `call` and hands its outcome on: at once, unless it is a promise. */
export function settle<T>(call: () => T | PromiseLike<T>, ok: (value: T) => void, fail: Failure): void {
  let outcome: T | PromiseLike<T>;
  try {
    outcome = call();
    if (typeof (outcome as Partial<PromiseLike<T>> | null)?.then === "function") {
      Promise.resolve(outcome).then(ok, fail);
      return;
    }
  } catch (error) {
    fail(error);
    return;
  }
  ok(outcome as T);
}

/** What starts the iteration of `source`, if it can be iterated. */
export const starter = (source: unknown): (() => AsyncIterator<never>) | undefined =>
  Object(source)[Symbol.asyncIterator] ?? Object(source)[Symbol.iterator];

/**
 * The cursor of any source, which is not touched before the first pull or the close. What a cursor calls may pull it
 * again: answers that come at once never grow the stack.
 *
 * @throws TypeError if the source cannot be iterated.
 */
export function open<T>(source: Source<T>): Cursor<T> {
  const own = Object(source)[CURSOR];
  if (own) return own;
  const start = starter(source);
  check(start, "a source", "iterable", typeof source, TypeError);

  let iterator: AsyncIterator<T> | undefined;
  let over = false;
  const opened = () => (iterator ??= start?.call(source) as AsyncIterator<T>);
  const cursor: Cursor<T> = {
    pull(value, end, fail) {
      if (over) return end();
      const failed = (error: unknown) => {
        if (over) return;
        over = true;
        fail(error);
      };
      settle(
        () => opened().next(),
        (result) => {
          if (over) return;
          if (Object(result) !== result) return failed(new TypeError(`a source gave ${result}, no result`));
          if (!result.done) return value(result.value);
          over = true;
          end();
        },
        failed,
      );
    },
    async close() {
      if (over) return;
      over = true;
      await opened().return?.();
    },
  };
  // What answers at once needs the loop that a stream has.
  return Object(source)[Symbol.asyncIterator] ? cursor : open(each(cursor, ({ emit }) => emit));
}

/**
 * Makes the stream of an operator.
 *
 * `start` is called at the first pull and returns what is called for each value that is asked for, never before the
 * one before is answered. `sources` are closed when the stream is left or fails.
 */
export function stream<T>(
  sources: Pick<Cursor<unknown>, "close">[],
  start: (out: Out<T>) => () => void,
): Stream<T> {
  const asked: Parameters<Cursor<T>["pull"]>[] = [];
  // The error that the next one who asks is told.
  const trouble: unknown[] = [];
  let ask: (() => void) | undefined;
  let asking = false;
  let driving = false;
  let over = false;
  let closing: Promise<void> | undefined;

  const go = () => {
    if (over) {
      for (const [, end, fail] of asked.splice(0)) afterwards(end, fail);
    } else if (!driving) {
      // An answer may come before `ask` returns, and who gets it may ask again: hence a loop.
      driving = true;
      while (asked.length && !asking && !over) {
        asking = true;
        ask ??= start(out);
        ask();
      }
      driving = false;
    }
  };
  // Called once: never when it is over.
  const close = () => {
    over = true;
    closing = Promise.all(sources.map((source) => source.close())).then(
      () => {},
      (error) => {
        if (!trouble.length) trouble.push(error);
      },
    );
  };
  const afterwards = (ok: () => void, fail: Failure) => {
    const tell = () => (trouble.length ? fail(trouble.pop()) : ok());
    if (closing) closing.then(tell);
    else tell();
  };
  const out: Out<T> = {
    emit(value, last) {
      if (over) return;
      asking = false;
      if (last) close();
      asked.shift()?.[0](value);
      go();
    },
    end() {
      over = true;
      go();
    },
    fail(error) {
      if (over) return;
      trouble.push(error);
      close();
      go();
    },
  };
  const pull: Cursor<T>["pull"] = (...answers) => {
    asked.push(answers);
    go();
  };
  const leave = <R>(value?: R) => {
    for (const [, end] of asked.splice(0)) end();
    if (!over) close();
    return new Promise((ok, fail) => afterwards(() => ok({ value, done: true }), fail));
  };

  const self = {
    // Where a runtime has no such symbol, the next line overwrites this one.
    [Symbol.asyncDispose ?? CURSOR]: () => leave(),
    [CURSOR]: { pull, close: leave },
    [Symbol.asyncIterator]: () => self,
    next: () =>
      new Promise((ok, fail) =>
        pull(
          (value) => ok({ value, done: false }),
          () => ok({ value: undefined, done: true }),
          fail,
        ),
      ),
    return: leave,
    throw: (error: unknown) =>
      leave().finally(() => {
        throw error;
      }),
  } as unknown as Stream<T>;
  return self;
}

/**
 * An operator that takes one value after the other. `start` is called for each source; what it returns is called with
 * each value, and calls either one of `out` or `more`, which asks for the next.
 */
export function each<T, U>(
  cursor: Cursor<T>,
  start: (out: Out<U>, more: () => void) => (value: T) => void,
): Stream<U> {
  return stream([cursor], (out) => {
    const more = () => cursor.pull(handle, out.end, out.fail);
    const handle = start(out, more);
    return more;
  });
}
