const pubsub = require("@alkdev/pubsub");
const conformance = require("@alkdev/pubsub/conformance");

// The files for require, and no others: newer runtimes would take those for import as well.
for (const name of ["@alkdev/pubsub", "@alkdev/pubsub/conformance"]) {
  const file = require.resolve(name);
  if (!file.endsWith(".cjs")) throw new Error(`${name} resolves to ${file}`);
}
import("./program.mjs").then(async ({ laws, program }) => {
  for (const line of [...(await program(pubsub)), ...(await laws(conformance))]) console.log(line);
});
