// PUBLISH and SUBSCRIBE by npm's `ioredis`: node redis.mjs URL CHANNEL
//
// Each line of standard input is a turn, `{"way","messages","text","pipelining"}`; the answer is a line with the nanoseconds
// that it took. Every message is heard, or there is no answer.
import { createInterface } from "node:readline";
import { Redis } from "ioredis";

const [, , url, channel] = process.argv;
/** Messages on their way. */
const WINDOW = 1024;

const ways = {
  async "one way"(publisher, heard, { messages, text }) {
    let left = messages;
    // As programs do it: each PUBLISH is a promise, many of them under way.
    const publishing = Array.from({ length: WINDOW }, async () => {
      while (left-- > 0) await publisher.publish(channel, text);
    });
    await Promise.all([heard(messages), ...publishing]);
  },
  async "there and back"(publisher, heard, { messages, text }) {
    for (let left = messages; left > 0; left -= 1) {
      await Promise.all([publisher.publish(channel, text), heard(1)]);
    }
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const turn = JSON.parse(line);
  const publisher = new Redis(url, { enableAutoPipelining: turn.pipelining });
  const subscriber = new Redis(url);
  let awaited = 0;
  let done;
  subscriber.on("message", (_, message) => {
    // What all do: the text is looked at.
    if (message.length === turn.text.length && --awaited === 0) done();
  });
  const heard = (count) => {
    awaited = count;
    return new Promise((resolve) => (done = resolve));
  };
  await Promise.all([subscriber.subscribe(channel), publisher.ping()]);
  const since = process.hrtime.bigint();
  await ways[turn.way](publisher, heard, turn);
  console.log(String(process.hrtime.bigint() - since));
  publisher.disconnect();
  subscriber.disconnect();
}
