/**
 * The laws that every event target keeps, as data: for the tests of a target's author, with whatever runs them.
 *
 * **Not covered by semver**: laws are added and sharpened in minor versions, and a target that kept the old ones may
 * then fail.
 *
 * @module
 */
export type { Fault, Fixture, Lent, Offers, Peers, Target, TargetEvent, TargetListener } from "./fixture.js";
export { inProcess } from "./in-process.js";
export { type Law, type Need, unmet, Violation } from "./law.js";
export { laws } from "./laws/index.js";
export { createWire, type FarSide, type RawMessage, type Wire } from "./wire.js";
export { sound, type Wrong, wrong } from "./wrong/index.js";
