import { createRedisEventTarget as createYogaTarget } from "@graphql-yoga/redis-event-target";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { createPubSub } from "../src/index.js";
import { createRedisEventTarget } from "../src/redis.js";
import { run } from "./hub.js";
import { type RedisServer, startRedis } from "./redis-server.js";

let server: RedisServer;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.kill());

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

const client = () => {
  const redis = new Redis({ port: server.port });
  ends.push(() => redis.disconnect());
  return redis;
};

/** Whoever publishes and hears envelopes on channels. */
interface Peer {
  publish(envelope: object, topic: string): unknown;
  /** Resolves when it is subscribed, with what will be the first event. */
  next(topic: string): Promise<{ first: Promise<unknown> }>;
}

const program = (): Peer => ({
  publish: (envelope) => {
    const { type, id, payload } = envelope as Record<string, string>;
    const url = `redis://127.0.0.1:${server.port}`;
    return run("pub", url, type as string, id as string, JSON.stringify(payload)).exit;
  },
  async next(topic) {
    const [type = "", id = ""] = topic.split(":");
    const sub = run("sub", `redis://127.0.0.1:${server.port}`, type, id, "--count", "1");
    ends.push(() => sub.stop());
    await subscribed(topic);
    return { first: sub.lines.next().then(({ value }) => JSON.parse(value)) };
  },
});

const npm = (): Peer => {
  const eventTarget = createRedisEventTarget<{ tick: unknown }>({
    publishClient: client(),
    subscribeClient: client(),
  });
  ends.push(() => eventTarget.close());
  const pubsub = createPubSub<{ tick: unknown }>({ eventTarget });
  return {
    publish: async (envelope) => {
      const { id, payload } = envelope as { id: string; payload: unknown };
      while (!pubsub.publish("tick", id, payload)) await new Promise((resolve) => setTimeout(resolve, 5));
    },
    async next(topic) {
      const events = pubsub.subscribe("tick", topic.split(":")[1] as string);
      const first = events.next();
      await subscribed(topic);
      return { first: first.then(({ value }) => value) };
    },
  };
};

const yoga = (): Peer => {
  const target = createYogaTarget<CustomEvent>({ publishClient: client(), subscribeClient: client() });
  return {
    publish: (detail, topic) => target.dispatchEvent(new CustomEvent(topic, { detail })),
    async next(topic) {
      const first = new Promise((resolve) =>
        target.addEventListener(topic, ((event: CustomEvent) => resolve(event.detail)) as never),
      );
      await subscribed(topic);
      return { first };
    },
  };
};

const ioredis = (): Peer => {
  const [publishing, subscribing] = [client(), client()];
  return {
    publish: (envelope, topic) => publishing.publish(topic, JSON.stringify(envelope)),
    async next(topic) {
      const first = new Promise((resolve) =>
        subscribing.on("message", (_, text) => resolve(JSON.parse(text))),
      );
      await subscribing.subscribe(topic);
      return { first };
    },
  };
};

const looking = new Map<RedisServer, Redis>();
async function subscribed(channel: string) {
  const redis = looking.get(server) ?? new Redis({ port: server.port });
  looking.set(server, redis);
  while (((await redis.pubsub("NUMSUB", channel)) as number[])[1] === 0) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
afterAll(() => {
  for (const redis of looking.values()) redis.disconnect();
});

const others = { npm, yoga, ioredis };
let topics = 0;

test.each(Object.entries(others))(
  "the program hears what %s publishes, and it what the program does",
  async (_, make) => {
    const ours = program();
    for (const [from, to] of [
      [ours, make()],
      [make(), ours],
    ] as const) {
      const id = `interop-${topics++}`;
      const envelope = { type: "tick", id, payload: { number: 7, text: "ä" } };
      const { first } = await to.next(`tick:${id}`);
      await from.publish(envelope, `tick:${id}`);
      expect(await first).toEqual(envelope);
    }
  },
);
