// By name, so that a bundler leaves out what is not asked for.
import { createPubSub, filter, map, pipe, Repeater, take, toArray } from "@alkdev/pubsub";
import { laws as all, inProcess, unmet } from "@alkdev/pubsub/conformance";
import { createWebSocketClientEventTarget } from "@alkdev/pubsub/event-target-websocket-client";
import { laws, link, program } from "./program.mjs";

const of = { createPubSub, filter, map, pipe, Repeater, take, toArray };
const run = async () => [
  ...(await program(of)),
  ...(await laws({ laws: all, unmet, inProcess })),
  ...(await link(of, { createWebSocketClientEventTarget })),
];
run().then((lines) => console.log(lines.join("\n")));
