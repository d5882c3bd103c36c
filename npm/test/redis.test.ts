import { Redis } from "ioredis";
import { createClient } from "redis";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { createPubSub } from "../src/index.js";
import { createRedisEventTarget, type RedisClientLike, type RedisOptions } from "../src/redis.js";
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

/** A client of each library, as a program makes it; it connects anew by itself. */
const libraries: Record<string, (port: number) => RedisClientLike> = {
  ioredis(port) {
    const client = new Redis({ port, retryStrategy: () => 20, maxRetriesPerRequest: null });
    client.on("error", () => {});
    ends.push(() => client.disconnect());
    return client;
  },
  "node-redis"(port) {
    const client = createClient({ socket: { port, host: "127.0.0.1", reconnectStrategy: () => 20 } });
    client.on("error", () => {});
    void client.connect().catch(() => {});
    ends.push(() => client.destroy());
    return client;
  },
};

type Events = { tick: unknown };
let scopes = 0;

describe.each(Object.entries(libraries))("%s", (_, client) => {
  const made = (options: Partial<RedisOptions> = {}, port = server.port) => {
    const target = createRedisEventTarget<Events>({
      publishClient: client(port),
      subscribeClient: client(port),
      ...options,
    });
    const notices: [string, unknown][] = [];
    for (const name of ["close", "gap", "denied", "error"] as const) {
      target.addEventListener(name, ({ type, detail }) => notices.push([type, detail]));
    }
    return { target, notices, pubsub: createPubSub<Events>({ eventTarget: target }) };
  };
  /** Publishing needs its client's connection, which nothing tells of. */
  const publish = async (pubsub: ReturnType<typeof made>["pubsub"], id: string, payload: unknown) => {
    while (!pubsub.publish("tick", id, payload)) await new Promise((resolve) => setTimeout(resolve, 5));
  };

  test("a topic that nobody wants any more since an outage is let go of, whatever the client asks for anew", async () => {
    const subscribeClient = client(server.port);
    const { target } = made({ subscribeClient });
    const [kept, left] = [`tick:kept-${scopes++}`, `tick:left-${scopes++}`] as const;
    const listener = () => {};
    target.addEventListener(left, listener);
    target.addEventListener(kept, listener);
    await target.ready?.(kept);
    const bare = new Redis({ port: server.port });
    ends.push(() => bare.disconnect());
    const readers = async (channel: string) => ((await bare.pubsub("NUMSUB", channel)) as number[])[1];
    expect(await readers(left)).toBe(1);
    const gap = new Promise((resolve) => target.addEventListener("gap", resolve as never, { once: true }));
    const lost = new Promise<void>((resolve) => {
      for (const name of ["close", "reconnecting"]) subscribeClient.on(name as never, resolve as never);
    });
    await bare.call("CLIENT", "KILL", "TYPE", "pubsub");
    await lost;
    target.removeEventListener(left, listener);
    await gap;
    while ((await readers(left)) !== 0) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(await readers(kept)).toBe(1);
    target.close();
  });

  test("the wire is the envelope's JSON on the channel of the topic, behind the prefix", async () => {
    const prefix = `app-${scopes++}:`;
    const { pubsub } = made({ prefix });
    const ticks = pubsub.subscribe("tick", "é:1");
    expect(await ticks.ready).toEqual({ status: "confirmed" });
    const bare = new Redis({ port: server.port });
    const wire = bare.duplicate();
    ends.push(() => [bare.disconnect(), wire.disconnect()]);
    await wire.psubscribe("*");
    const seen = new Promise<string[]>((resolve) =>
      wire.on("pmessage", (_p, channel, text) => resolve([channel, text])),
    );
    await publish(pubsub, "é:1", { a: 1 });
    expect((await ticks.next()).value).toEqual({ type: "tick", id: "é:1", payload: { a: 1 } });
    expect(await seen).toEqual([`${prefix}tick:é:1`, '{"type":"tick","id":"é:1","payload":{"a":1}}']);
    // And what others publish there is heard.
    await bare.publish(`${prefix}tick:é:1`, ' { "id":"é:1", "x":1, "type":"tick" } ');
    expect((await ticks.next()).value).toEqual({ type: "tick", id: "é:1", payload: undefined });
  });

  test("what is no event of its channel is heard by nobody, and told", async () => {
    const prefix = `bad-${scopes++}:`;
    const { pubsub, notices } = made({ prefix });
    const ticks = pubsub.subscribe("tick", "1");
    await ticks.ready;
    const bare = new Redis({ port: server.port });
    ends.push(() => bare.disconnect());
    const bad = [
      "nonsense",
      '{"type":"tick","id":"2"}',
      '{"type":"__denied","id":"","payload":{"topic":"tick:1","action":"subscribe","reason":"broker"}}',
      '{"type":"__gap","id":"","payload":{"topic":"tick:1"}}',
      '{"type":"tick","id":"1","__x":1}',
    ];
    for (const text of bad) await bare.publish(`${prefix}tick:1`, text);
    await bare.publish(`${prefix}tick:1`, '{"type":"tick","id":"1","payload":1}');
    expect((await ticks.next()).value).toMatchObject({ payload: 1 });
    expect(notices).toHaveLength(bad.length);
    for (const [name, detail] of notices)
      expect([name, detail]).toMatchObject(["error", { error: { code: "bad_input" } }]);
  });

  test("a serializer of one's own", async () => {
    const prefix = `own-${scopes++}:`;
    const serializer = {
      stringify: (envelope: unknown) => `v1 ${Buffer.from(JSON.stringify(envelope)).toString("base64")}`,
      parse: (text: string) => JSON.parse(Buffer.from(text.slice(3), "base64").toString()),
    };
    const { pubsub, notices } = made({ prefix, serializer });
    const ticks = pubsub.subscribe("tick", "1");
    await ticks.ready;
    await publish(pubsub, "1", ["ü"]);
    expect((await ticks.next()).value).toEqual({ type: "tick", id: "1", payload: ["ü"] });
    const bare = new Redis({ port: server.port });
    ends.push(() => bare.disconnect());
    for (const text of ["v1 ?", serializer.stringify({ type: "tick", id: "2" }), serializer.stringify(7)]) {
      await bare.publish(`${prefix}tick:1`, text);
    }
    await publish(pubsub, "1", 2);
    expect((await ticks.next()).value).toMatchObject({ payload: 2 });
    // Beside what was said while the publishing client had no connection yet.
    const codes = notices.map(([, detail]) => (detail as { error: { code: string } }).error.code);
    expect(codes.filter((code) => code !== "disconnected")).toEqual(["bad_input", "bad_input", "bad_input"]);
  });

  test("Redis dies and comes back: one gap, then events; meanwhile publishing gives false", async () => {
    const own = await startRedis();
    const { pubsub, notices, target } = made({}, own.port);
    const ticks = pubsub.subscribe("tick", "1", { losses: true });
    expect(await ticks.ready).toEqual({ status: "confirmed" });
    await publish(pubsub, "1", 1);
    expect((await ticks.next()).value).toMatchObject({ payload: 1 });
    await own.kill();
    while (target.stats().links) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(pubsub.publish("tick", "1", 2)).toBe(false);
    expect(notices.at(-1)).toMatchObject(["error", { error: { code: "disconnected" } }]);
    const again = await startRedis(own.port);
    ends.push(() => again.kill());
    expect((await ticks.next()).value).toEqual({ type: "__gap", reason: "disconnected", topic: "tick:1" });
    await publish(pubsub, "1", 3);
    expect((await ticks.next()).value).toMatchObject({ payload: 3 });
    expect(notices.filter(([name]) => name === "gap")).toHaveLength(1);
  });

  test("a channel that Redis refuses is denied, and ends nothing else", async () => {
    const own = await startRedis();
    ends.push(() => own.kill());
    const admin = new Redis({ port: own.port });
    ends.push(() => admin.disconnect());
    await admin.call("ACL", "SETUSER", "default", "resetchannels", "&tick:1");
    const { pubsub } = made({}, own.port);
    const [allowed, refused] = [pubsub.subscribe("tick", "1"), pubsub.subscribe("tick", "2")];
    expect(await allowed.ready).toEqual({ status: "confirmed" });
    expect(await refused.ready).toEqual({ status: "denied", reason: "broker" });
    await publish(pubsub, "1", 1);
    expect((await allowed.next()).value).toMatchObject({ payload: 1 });
  });

  test("closed, it leaves the clients as they were", async () => {
    const [publishClient, subscribeClient] = [client(server.port), client(server.port)];
    const { pubsub, target } = made({ publishClient, subscribeClient });
    const id = `bye-${scopes++}`;
    const ticks = pubsub.subscribe("tick", id);
    await ticks.ready;
    const bare = new Redis({ port: server.port });
    ends.push(() => bare.disconnect());
    const readers = async () => ((await bare.pubsub("NUMSUB", `tick:${id}`)) as unknown[])[1];
    expect(await readers()).toBe(1);
    target.close();
    expect(await ticks.next()).toEqual({ done: true, value: undefined });
    expect(() => pubsub.publish("tick", "1", 1)).toThrow("closed");
    expect(await publishClient.publish("anything", "at all")).toBe(0);
    while ((await readers()) !== 0) await new Promise((resolve) => setTimeout(resolve, 2));
  });
});

test("one client for both is refused", () => {
  const one = new Redis({ port: server.port, lazyConnect: true });
  expect(() => createRedisEventTarget({ publishClient: one, subscribeClient: one })).toThrow(TypeError);
});
