import * as pubsub from "@alkdev/pubsub";
import * as conformance from "@alkdev/pubsub/conformance";
import * as client from "@alkdev/pubsub/event-target-websocket-client";
import { laws, link, program } from "./program.mjs";

for (const lines of [program(pubsub), laws(conformance), link(pubsub, client)]) {
  for (const line of await lines) console.log(line);
}
