// The laws in a runtime without pages: laws-program.mjs ws://…
import { run } from "./laws.js";

// Node has its own from version 22 on.
globalThis.WebSocket ??= (await import("ws")).WebSocket;
console.log(await run(process.argv[2]));
process.exit();
