import { Redis } from "ioredis";
import { createClient } from "redis";
import { test } from "vitest";
import { createPubSub } from "../../src/index.js";
import { createRedisEventTarget } from "../../src/redis.js";

type Events = { tick: { n: number } };

test("clients of both libraries", () => {
  const clients = [
    createRedisEventTarget<Events>({ publishClient: new Redis(), subscribeClient: new Redis() }),
    createRedisEventTarget<Events>({ publishClient: createClient(), subscribeClient: createClient() }),
  ];
  for (const eventTarget of clients) createPubSub<Events>({ eventTarget }).publish("tick", "1", { n: 1 });
  // @ts-expect-error a client is missing
  createRedisEventTarget({ publishClient: new Redis() });
});
