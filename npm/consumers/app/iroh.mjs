// An endpoint of a known key: the module is found, loaded and asked. No relay is reached for it.
import { createIrohEndpoint } from "@alkdev/pubsub/event-target-iroh-spoke";
import { identity } from "./iroh-program.mjs";

console.log(await identity(createIrohEndpoint));
