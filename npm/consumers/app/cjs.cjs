const pubsub = require("@alkdev/pubsub");
const conformance = require("@alkdev/pubsub/conformance");

// By require alone: what import would bring is another file.
if (!require.resolve("@alkdev/pubsub").endsWith(".cjs")) throw new Error(require.resolve("@alkdev/pubsub"));
import("./program.mjs").then(async ({ laws, program }) => {
  for (const line of [...(await program(pubsub)), ...(await laws(conformance))]) console.log(line);
});
