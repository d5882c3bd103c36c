// What the package's types say to a program of today.

import type { EventEnvelope } from "@alkdev/pubsub";
import { createPubSub, filter, map, pipe, take, toArray } from "@alkdev/pubsub";
import { type Fixture, inProcess, type Law, laws, unmet } from "@alkdev/pubsub/conformance";

import { createIrohEndpoint, createIrohSpokeEventTarget } from "@alkdev/pubsub/event-target-iroh-spoke";

type Events = { "call.responded": { output: number }; "message.sent": string };
const pubsub = createPubSub<Events>();

export async function outputs(): Promise<number[]> {
  const events = pubsub.subscribe("call.responded", "uuid-123");
  const envelopes: AsyncIterable<EventEnvelope<"call.responded", { output: number }>> = events;
  return pipe(
    envelopes,
    map((event) => event.payload.output),
    filter((output) => output > 0),
    take(3),
    toArray(),
  );
}

export async function kept(fixture: Fixture = inProcess): Promise<string[]> {
  const applying: Law[] = laws.filter((law) => unmet(law, fixture) === undefined);
  for (const law of applying) await law.run(fixture);
  return applying.map(({ name }) => name);
}

export async function overIroh(hubNodeId: string) {
  const endpoint = await createIrohEndpoint({ relay: "https://relay.example/" });
  const eventTarget = await createIrohSpokeEventTarget<Events>({ endpoint, hubNodeId });
  return createPubSub<Events>({ eventTarget });
}
