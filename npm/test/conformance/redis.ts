// Two targets at one redis-server, with clients of either library.
import { Redis } from "ioredis";
import { createClient } from "redis";
import type { Fixture, Target } from "../../src/conformance/index.js";
import { createPubSub } from "../../src/index.js";
import { createRedisEventTarget, type RedisClientLike } from "../../src/redis.js";
import { type RedisServer, startRedis } from "../redis-server.js";

let server: Promise<RedisServer> | undefined;
/** Whoever ran the laws ends it. */
export async function stopRedis(): Promise<void> {
  await (await server)?.kill();
}

/** A client, and what ends it. */
type Connect = (port: number) => Promise<[RedisClientLike, () => void]>;

function atRedis(connect: Connect): Fixture {
  return {
    capabilities: { echo: true, order: "connection", carries: "json", lifetime: "outlives", confirms: true },
    offers: { reports: true, close: true },
    async inPlace(target, topic) {
      await (target as { ready?(topic: string): Promise<unknown> }).ready?.(topic);
    },
    async peers() {
      server ??= startRedis();
      const { port } = await server;
      const clients = await Promise.all([1, 2, 3, 4].map(() => connect(port)));
      const [a, b, c, d] = clients.map(([client]) => client) as [
        RedisClientLike,
        RedisClientLike,
        RedisClientLike,
        RedisClientLike,
      ];
      const reported: unknown[] = [];
      const onError = (error: unknown) => reported.push(error);
      const one = createRedisEventTarget({ publishClient: a, subscribeClient: b });
      const two = createRedisEventTarget({ publishClient: c, subscribeClient: d, onError });
      // All is in place when something has gone through both.
      for (const eventTarget of [one, two]) {
        const warm = createPubSub({ eventTarget }).subscribe("warm", "");
        await warm.ready;
        warm.return();
      }
      return {
        publisher: one as Target,
        subscribers: [two as Target],
        reported,
        dispose() {
          for (const [, end] of clients) end();
        },
      };
    },
  };
}

export const redisByIoredis = atRedis(async (port) => {
  const client = new Redis({ port });
  client.on("error", () => {});
  await client.ping();
  return [client, () => client.disconnect()];
});

export const redisByNodeRedis = atRedis(async (port) => {
  const client = createClient({ socket: { port, host: "127.0.0.1" } });
  client.on("error", () => {});
  await client.connect();
  return [client, () => client.destroy()];
});
