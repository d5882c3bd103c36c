// What is asked of arguments, and the time.

/** @throws RangeError unless `value` is a whole number from `least` on, or `Infinity`. */
export function whole(name: string, value: number, least = 1): void {
  check(Math.floor(value) === value && value >= least, name, `a whole number from ${least} on`, value);
}

/** @throws RangeError unless `value` is a number of milliseconds above 0 and at most `most`, or `Infinity`. */
export function duration(name: string, value: number, most = Infinity): void {
  check(value > 0 && (value <= most || value === Infinity), name, `above 0 and at most ${most}`, value);
}

const choices = ["drop-oldest", "drop-newest", "error"];

/** @throws RangeError unless `value` is what can be done at an overflow. */
export function choice(name: string, value: string): void {
  check(choices.includes(value), name, choices.join(" or "), value);
}

/** @throws TypeError unless `value` is a function. */
export function callable(name: string, value: unknown): void {
  check(typeof value === "function", name, "a function", typeof value, TypeError);
}

/** @throws `Kind`, which says what `name` must be, unless `valid`. */
export function check(valid: unknown, name: string, need: string, value: unknown, Kind = RangeError): void {
  if (!valid) throw new Kind(`${name} must be ${need}, not ${value}`);
}

/** The time in milliseconds, of a clock that is never set where there is one. */
export const now = (): number => (globalThis.performance ?? Date).now();
