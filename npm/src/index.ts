export { createPubSub } from "./create-pubsub.js";
export { PubSubError, type PubSubErrorCode } from "./errors.js";
export { createInProcessEventTarget, type InProcessOptions } from "./event-target.js";
export * from "./operators/index.js";
export {
  type Push,
  Repeater,
  type RepeaterBuffer,
  type RepeaterConstructor,
  type RepeaterExecutor,
  type Stop,
} from "./repeater.js";
export type * from "./types.js";
