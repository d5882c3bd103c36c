// The laws in a runtime without pages: laws-program.mjs ws://… or laws-program.mjs iroh:… RELAY.
import { createIrohEndpoint } from "../dist/event-target-iroh-spoke-node.js";
import { run, webSocketFixtures } from "./laws.js";
import { irohFixtures } from "./laws-iroh.js";

// Node has its own from version 22 on.
globalThis.WebSocket ??= (await import("ws")).WebSocket;
const [, , hub, relay] = process.argv;
const fixtures =
  relay === undefined ? webSocketFixtures(hub) : irohFixtures(await createIrohEndpoint({ relay }), hub);
console.log(await run(fixtures));
process.exit();
