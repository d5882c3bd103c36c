// Random lives of a subscription, beside a model that is too simple to be wrong.
import fc from "fast-check";
import { expect, test } from "vitest";
import { createPubSub, type Loss, type Overflow } from "../src/index.js";

type Item = number | Loss;

/** Everything in one list; neighbours that are losses are merged when one is put in. */
function model(capacity: number, overflow: Overflow) {
  const items: Item[] = [];
  let failed = false;
  const lag = (at: number) => {
    for (const i of [at - 1, at]) {
      const item = items[i];
      if (typeof item === "object" && item.type === "__lagged") {
        items[i] = { type: "__lagged", missed: item.missed + 1 };
        return;
      }
    }
    items.splice(at, 0, { type: "__lagged", missed: 1 });
  };
  return {
    publish(n: number) {
      if (failed) return;
      if (items.filter((item) => typeof item === "number").length < capacity) items.push(n);
      else if (overflow === "drop-newest") lag(items.length);
      else if (overflow === "error") failed = true;
      else {
        const at = items.findIndex((item) => typeof item === "number");
        items.splice(at, 1);
        lag(at);
        items.push(n);
      }
    },
    next: (): Item | "failed" | "nothing" => items.shift() ?? (failed ? "failed" : "nothing"),
  };
}

const command = fc.oneof(
  { weight: 3, arbitrary: fc.constant("publish" as const) },
  { weight: 2, arbitrary: fc.constant("next" as const) },
);

for (const overflow of ["drop-oldest", "drop-newest", "error"] as const) {
  test(`${overflow}: what is read is what the model says, losses in their places`, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5 }),
        fc.array(command, { maxLength: 200 }),
        async (capacity, commands) => {
          const pubsub = createPubSub<{ a: number }>();
          const events = pubsub.subscribe("a", "", { capacity, overflow, losses: true });
          await events.ready;
          const expected = model(capacity, overflow);
          let n = 0;
          let published = 0;
          for (const now of commands) {
            if (now === "publish") {
              pubsub.publish("a", "", n);
              expected.publish(n++);
              published++;
              continue;
            }
            const wanted = expected.next();
            if (wanted === "nothing") continue;
            if (wanted === "failed") {
              await expect(events.next()).rejects.toMatchObject({ code: "overflow" });
              return;
            }
            const { value } = (await events.next()) as { value: { payload?: number } };
            expect("payload" in value ? value.payload : value).toEqual(wanted);
          }
          const { queued, delivered, lost } = events.stats();
          if (!events.end) expect(queued + delivered + lost).toBe(published);
          expect(queued).toBeLessThanOrEqual(capacity);
        },
      ),
      { numRuns: 300 },
    );
  });
}
