import type { Fixture } from "../fixture.js";
import { type LinkFlaw, link, linkFlaws } from "./link.js";
import { type MemoryFlaw, memory, memoryFlaws } from "./memory.js";
import { type PubSubFlaw, pubsubFlaws, wrongPubSub } from "./pubsub.js";

/** A target, or a pubsub, that breaks the contract in one way: what the laws are tested with. */
export interface Wrong {
  readonly name: string;
  readonly what: string;
  /** The laws that have to see it, among others perhaps. */
  readonly killedBy: readonly string[];
  readonly fixture: Fixture;
}

const wrongs = <F extends string>(
  kind: string,
  flaws: Readonly<Record<F, readonly [string, ...string[]]>>,
  fixture: (flaw: F) => Fixture,
): Wrong[] =>
  (Object.keys(flaws) as F[]).map((flaw) => {
    const [what, ...killedBy] = flaws[flaw];
    return { name: `${kind}::${flaw}`, what, killedBy, fixture: fixture(flaw) };
  });

/** All wrong targets. */
export const wrong: readonly Wrong[] = [
  ...wrongs<MemoryFlaw>("Memory", memoryFlaws, memory),
  ...wrongs<LinkFlaw>("Link", linkFlaws, link),
  ...wrongs<PubSubFlaw>("PubSub", pubsubFlaws, wrongPubSub),
];

/** The same targets without a flaw: they keep all laws, so that nothing but its flaw makes a wrong one fail. */
export const sound: Readonly<Record<string, Fixture>> = { memory: memory(), memory_link: link() };
