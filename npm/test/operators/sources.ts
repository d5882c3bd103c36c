import { Repeater } from "@repeaterjs/repeater";

/** What a test can see of a source. */
export interface Watched<T> extends AsyncIterableIterator<T> {
  /** How often the source was asked for its iterator. */
  started: number;
  /** How often the source was asked for a value. */
  pulled: number;
  /** How often `return()` was called. */
  returned: number;
  return(): Promise<IteratorResult<T>>;
}

/** A source of ready values that counts what is done to it. It is no generator, so that no call is hidden. */
export function watched<T>(
  values: Iterable<T>,
  options: { fail?: unknown; cleanUp?: unknown } = {},
): Watched<T> {
  const iterator = values[Symbol.iterator]();
  const source: Watched<T> = {
    started: 0,
    pulled: 0,
    returned: 0,
    [Symbol.asyncIterator]() {
      source.started++;
      return source;
    },
    next() {
      source.pulled++;
      const result = iterator.next();
      return result.done && "fail" in options ? Promise.reject(options.fail) : Promise.resolve(result);
    },
    return() {
      source.returned++;
      return "cleanUp" in options
        ? Promise.reject(options.cleanUp)
        : Promise.resolve({ value: undefined, done: true });
    },
  };
  return source;
}

/** A source that is driven by hand, as a subscription is: registered by its first `next()`. */
export function manual<T>() {
  const control = {
    registered: 0,
    removed: 0,
    push: (_value: T): void => {
      throw new Error("nobody listens");
    },
    stop: (_error?: unknown): void => {},
    source: new Repeater<T>(async (push, stop) => {
      control.registered++;
      control.push = (value) => void push(value);
      control.stop = stop;
      await stop;
      control.removed++;
    }),
  };
  return control;
}

/** A source of which each value is given by hand. */
export function byHand<T>() {
  let pulled = 0;
  let give = (_value: T): void => {};
  const source: AsyncIterableIterator<T> = {
    [Symbol.asyncIterator]: () => source,
    next: () =>
      new Promise((resolve) => {
        pulled++;
        give = (value) => resolve({ value, done: false });
      }),
  };
  return { source, give: (value: T) => give(value), pulled: () => pulled };
}

/** Lets everything that is ready run. */
export const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

export async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const values: T[] = [];
  for await (const value of source) values.push(value);
  return values;
}
