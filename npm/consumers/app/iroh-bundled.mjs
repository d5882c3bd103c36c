import { createIrohEndpoint } from "@alkdev/pubsub/event-target-iroh-spoke";

createIrohEndpoint({ relay: "https://relay.example/" });
