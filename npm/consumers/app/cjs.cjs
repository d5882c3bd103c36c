const pubsub = require("@alkdev/pubsub");
const conformance = require("@alkdev/pubsub/conformance");
const client = require("@alkdev/pubsub/event-target-websocket-client");

// The files for require, and no others: newer runtimes would take those for import as well.
for (const entry of ["", "/conformance", "/event-target-websocket-client"]) {
  const file = require.resolve(`@alkdev/pubsub${entry}`);
  if (!file.endsWith(".cjs")) throw new Error(`${entry} resolves to ${file}`);
}
import("./program.mjs").then(async ({ laws, link, program }) => {
  for (const lines of [program(pubsub), laws(conformance), link(pubsub, client)]) {
    for (const line of await lines) console.log(line);
  }
});
