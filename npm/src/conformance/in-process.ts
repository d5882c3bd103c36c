import { createInProcessEventTarget } from "../event-target.js";
import type { Fixture, Target } from "./fixture.js";

/** The in-process target of this package: one memory, where the publisher hears itself. */
export const inProcess: Fixture = {
  capabilities: createInProcessEventTarget().capabilities,
  offers: { reports: true, close: true, stats: true },
  peers() {
    const reported: unknown[] = [];
    const target = createInProcessEventTarget({ onError: (error) => reported.push(error) }) as Target;
    return { publisher: target, subscribers: [target], reported };
  },
};
