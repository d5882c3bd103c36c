// What a program that was written for the package's ancestor compiles: its imports, its types, its calls.

import type { PubSub, Push, Stop } from "@alkdev/pubsub";
import { createPubSub, Repeater } from "@alkdev/pubsub";

type CallEvents = {
  "call.requested": { requestId: string; operationId: string; input: unknown; deadline?: number };
  "call.responded": { requestId: string; output: { data: unknown } };
  "call.completed": { requestId: string };
  "call.aborted": { requestId: string };
  "call.error": { requestId: string; code: string; message: string; details?: unknown };
};

export class PendingRequests {
  private readonly pubsub: PubSub<CallEvents>;

  // biome-ignore lint/suspicious/noExplicitAny: the ancestor's users write it so
  constructor(eventTarget?: any) {
    this.pubsub = createPubSub<CallEvents>(eventTarget === undefined ? undefined : { eventTarget });
    void this.listen();
  }

  private async listen(): Promise<void> {
    for await (const envelope of this.pubsub.subscribe("call.responded", "")) {
      const { requestId, output } = envelope.payload;
      const text: string = requestId;
      const data: unknown = output.data;
      const of: "call.responded" = envelope.type;
      const to: string = envelope.id;
      void [text, data, of, to];
    }
  }

  call(operationId: string, input: unknown): AsyncIterable<number> {
    return new Repeater<number>((push: Push<number>, stop: Stop) => {
      this.pubsub.publish("call.requested", "", { requestId: "1", operationId, input });
      push(1);
      void stop.then(() => this.pubsub.publish("call.aborted", "", { requestId: "1" }));
      stop();
      stop(new Error("over"));
    });
  }
}

new PendingRequests();
new PendingRequests(new EventTarget());
createPubSub<CallEvents>(undefined);
createPubSub<CallEvents>({});
createPubSub<CallEvents>({ eventTarget: new EventTarget() });

const pubsub = createPubSub<CallEvents>();
// @ts-expect-error: no such event
pubsub.publish("call.request", "", { requestId: "1" });
// @ts-expect-error: a payload of another event
pubsub.publish("call.requested", "", { requestId: "1" });
// @ts-expect-error: no id
pubsub.publish("call.completed", { requestId: "1" });
// @ts-expect-error: no id
pubsub.subscribe("call.completed");
// @ts-expect-error: no such event
pubsub.subscribe("call.complete", "");
