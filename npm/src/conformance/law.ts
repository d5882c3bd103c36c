import type { Fixture } from "./fixture.js";

/** What a law may need of a fixture. The names are those of the Rust suite, where it has them. */
export type Need =
  | "Echo"
  | "ConnectionOrder"
  | "Reference"
  | "Json"
  | "Confirms"
  | "PerConnection"
  | "Outlives"
  | "Reports"
  | "Close"
  | "Cut"
  | "Stall"
  | "Wire"
  | "FarHub"
  | "FarSpoke"
  | "Near"
  | "HangUp"
  | "Lent"
  | "Stats";

/** One case of the suite. */
export interface Law {
  /** Its name, the same in every language. A law of several cases begins each with the law's name. */
  readonly name: string;
  /** Which law of the contract it is a case of. */
  readonly number: number;
  /** What it needs of a fixture; all of it. */
  readonly requires: readonly Need[];
  /**
   * Checks it. Rejects with a {@link Violation} that says what was expected and what came instead, also when the
   * fixture's deadline has passed. Needs no test runner; sets one timer, which is gone when it settles.
   */
  run(fixture: Fixture): Promise<void>;
}

/** How a target broke a law. */
export class Violation extends Error {
  override readonly name = "Violation";
}

const met: Record<Need, (fixture: Fixture) => boolean> = {
  Echo: ({ capabilities }) => capabilities.echo,
  ConnectionOrder: ({ capabilities }) => capabilities.order === "connection",
  Reference: ({ capabilities }) => capabilities.carries === "reference",
  Json: ({ capabilities }) => capabilities.carries === "json",
  Confirms: ({ capabilities }) => capabilities.confirms,
  PerConnection: ({ capabilities }) => capabilities.lifetime === "connection",
  Outlives: ({ capabilities }) => capabilities.lifetime === "outlives",
  Reports: ({ offers }) => offers?.reports === true,
  Close: ({ offers }) => offers?.close === true,
  Cut: ({ offers }) => offers?.cut === true,
  Stall: ({ offers }) => offers?.stall === true,
  Wire: ({ offers }) => offers?.wire !== undefined,
  FarHub: ({ offers }) => offers?.wire === "hub",
  FarSpoke: ({ offers }) => offers?.wire === "spoke",
  Near: ({ offers }) => offers?.near === true,
  HangUp: ({ offers }) => offers?.hangUp === true,
  Lent: ({ offers }) => offers?.lent === true,
  Stats: ({ offers }) => offers?.stats === true,
};

/**
 * The first thing that the law needs and the fixture has not, or `undefined` if the law applies. A law that does not
 * apply is not kept: report it as "n/a", for want of what is returned.
 */
export function unmet(law: Law, fixture: Fixture): Need | undefined {
  return law.requires.find((need) => !met[need](fixture));
}
