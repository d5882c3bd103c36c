const { createIrohEndpoint } = require("@alkdev/pubsub/event-target-iroh-spoke");

import("./iroh-program.mjs").then(async ({ identity }) => console.log(await identity(createIrohEndpoint)));
