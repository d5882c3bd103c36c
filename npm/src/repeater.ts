import { Repeater as Implementation } from "@repeaterjs/repeater/core";

/** Gives a value to a {@link Repeater}: takes it, or a promise of it, and resolves when the next one is asked for. */
export type Push<T = unknown, TNext = unknown> = (value: PromiseLike<T> | T) => Promise<TNext | undefined>;

/**
 * Ends a {@link Repeater}: values that were pushed before are still read, then the reader is done or, with an
 * error, gets that very error once. It is also a promise of the end, for cleaning up: `stop.then(() => …)`.
 */
export type Stop = ((error?: unknown) => undefined) & Promise<undefined>;

/** Produces the values of a {@link Repeater}. Runs within the first `next()`, synchronously, and only once. */
export type RepeaterExecutor<T, TReturn = unknown, TNext = unknown> = (
  push: Push<T, TNext>,
  stop: Stop,
) => PromiseLike<TReturn> | TReturn;

/** What a {@link Repeater} keeps values in that nobody has asked for yet. */
export interface RepeaterBuffer<T = unknown> {
  empty: boolean;
  full: boolean;
  add(value: T): unknown;
  remove(): T;
}

/**
 * An async iterator made from callbacks. That of `@repeaterjs/repeater`, with types that need neither its own nor
 * those of the DOM.
 *
 * Without a buffer, 1024 values wait at most; the next `push` throws.
 *
 * @example
 * const ticks = new Repeater<number>(async (push, stop) => {
 *   let n = 0;
 *   const timer = setInterval(() => push(n++), 1000);
 *   await stop; // the reader has left its loop, or someone called stop()
 *   clearInterval(timer);
 * });
 * for await (const n of ticks) if (n === 3) break;
 */
export interface Repeater<T, TReturn = unknown, TNext = unknown> {
  next(value?: PromiseLike<TNext> | TNext): Promise<IteratorResult<T, TReturn>>;
  return(value?: PromiseLike<TReturn> | TReturn): Promise<IteratorResult<T, TReturn>>;
  throw(error: unknown): Promise<IteratorResult<T, TReturn>>;
  [Symbol.asyncIterator](): this;
  /** `await using`: as `return()`. There where the runtime knows the symbol. */
  [Symbol.asyncDispose](): Promise<IteratorResult<T, TReturn>>;
  /** `using`: as `return()`. There where the runtime knows the symbol. */
  [Symbol.dispose](): void;
}

/** The constructor, and the statics, of {@link Repeater}. */
export interface RepeaterConstructor {
  new <T, TReturn = unknown, TNext = unknown>(
    executor: RepeaterExecutor<T, TReturn, TNext>,
    buffer?: RepeaterBuffer,
  ): Repeater<T, TReturn, TNext>;
  readonly prototype: Repeater<unknown>;
}

export const Repeater = Implementation as unknown as RepeaterConstructor;
