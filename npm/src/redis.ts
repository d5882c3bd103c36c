import { theHubCore } from "./core/hub-core.js";
import { PubSubError } from "./errors.js";
import { clone } from "./link/clone.js";
import { createLink, type Format, type LinkOptions } from "./link/link.js";
import { payloadOf, toText } from "./link/message.js";
import type { EventEnvelope, EventMapOf, PubSubEventMap, PubSubEventTarget } from "./types.js";

/** What is needed of a client of Redis: one of `ioredis`, or of `redis` (node-redis), connected or connecting. */
export interface RedisClientLike {
  publish(channel: string, message: string): Promise<unknown> | unknown;
  subscribe(...args: never[]): Promise<unknown> | unknown;
  unsubscribe(...args: never[]): Promise<unknown> | unknown;
  on(...args: never[]): unknown;
  off(...args: never[]): unknown;
}

/** How envelopes are written to channels, where that is not JSON. */
export interface Serializer {
  stringify(envelope: unknown): string;
  parse(message: string): unknown;
}

/** The clients, and what may be set. */
export interface RedisOptions
  extends Pick<LinkOptions, "onError" | "maxMessage" | "maxDepth" | "maxBufferedAmount"> {
  /** Publishes. */
  readonly publishClient: RedisClientLike;
  /** Subscribes, and can do nothing else as long as it does: it is another one than `publishClient`. */
  readonly subscribeClient: RedisClientLike;
  /** What channels begin with, ahead of the topic: `""` unless given. */
  readonly prefix?: string;
  /** JSON unless given. */
  readonly serializer?: Serializer;
}

/** A control event of the link's own, or an event on its channel. */
type Message = string | { readonly channel: string; readonly text: string };
/** What came on a channel. */
interface Arrived {
  readonly text: string;
  readonly envelope?: EventEnvelope;
}

const [SUBSCRIBE, UNSUBSCRIBE] = [1, 2];

/** What the two libraries do in different ways. */
interface Side {
  isUp(): boolean;
  subscribe(channel: string): Promise<unknown>;
  unsubscribe(channel: string): Promise<unknown>;
}

/**
 * The event target of a Redis server, through which all who publish and subscribe there hear each other, the publisher
 * included. A topic is a channel, `prefix` and the topic; a message is the envelope's JSON.
 *
 * - The clients are yours: they are neither connected nor closed here. What they do when a connection is lost is theirs
 *   to decide; once they are back, all topics are subscribed to anew, and each is told a `gap`.
 * - `await events.ready` is Redis' own answer. A subscription that it refuses is `denied` with the reason `broker`.
 * - Without a connection `dispatchEvent` returns false and a notice `error` of code `disconnected` is told; beyond
 *   `maxBufferedAmount` bytes (4 MiB) that Redis has not answered, one of code `full`. A publication that fails later is
 *   told by an `error` notice. None is sent again.
 * - What comes is checked like any message of a far side. An event on the channel of another topic, and a control event,
 *   is heard by nobody, counted, and told by an `error` notice.
 * - Order holds for what one client publishes on one server.
 *
 * @throws PubSubError `no_wasm` where no WebAssembly may be compiled; TypeError where the clients are none, or one.
 *
 * @example
 * const eventTarget = createRedisEventTarget({ publishClient: new Redis(), subscribeClient: new Redis() });
 * const pubsub = createPubSub<Events>({ eventTarget });
 */
export function createRedisEventTarget<TEventMap extends EventMapOf<TEventMap> = PubSubEventMap>(
  options: RedisOptions,
): PubSubEventTarget<TEventMap> {
  const { publishClient, subscribeClient, prefix = "", serializer } = options;
  if (publishClient === subscribeClient) {
    throw new TypeError("publishClient and subscribeClient must be two: one that subscribes cannot publish");
  }
  const core = theHubCore();
  const { call } = core;
  /** Bytes that Redis has not answered. */
  let waiting = 0;
  /** The channels that were asked for here. */
  const held = new Set<string>();
  /** Counts connections, so that an answer of one that is gone is known. */
  let connection = 0;

  const failed = (error: unknown) => link.failed(error);
  const toSide = (client: RedisClientLike): Side =>
    isNodeRedis(client) ? nodeRedis(client, arrived) : ioRedis(client);
  /** What a serializer makes of a message; without one the core reads it. */
  const read = (text: string): Arrived | undefined => {
    if (!serializer) return { text };
    try {
      const envelope = serializer.parse(text) as EventEnvelope;
      const outline = clone.read(envelope) as string | undefined;
      return outline === undefined ? undefined : { text: outline, envelope };
    } catch {
      return undefined;
    }
  };
  const arrived = (text: string, channel: string) => {
    if (!channel.startsWith(prefix)) return;
    const topic = channel.slice(prefix.length);
    const message = read(text);
    if (!message) return failed(new PubSubError("bad_input", `on the channel ${channel} came no envelope`));
    const before = core.put(topic, 1 << 20);
    const length = core.put(topic + message.text, 1 << 30) - before;
    if (!call.broker_admits(before, length)) {
      return failed(new PubSubError("bad_input", `on the channel ${channel} came ${core.text()}`));
    }
    link.receive(message);
  };

  const control = async (text: string) => {
    const asked = call.broker_asked(core.put(text, 1 << 20));
    const channel = prefix + core.text();
    const mine = connection;
    let refused = 0;
    try {
      if (asked === SUBSCRIBE) {
        held.add(channel);
        await subscriber.subscribe(channel);
      } else if (asked === UNSUBSCRIBE) {
        held.delete(channel);
        await subscriber.unsubscribe(channel);
      }
    } catch (error) {
      refused = 1;
      // One that broke off is answered on the next connection.
      if (mine !== connection || !subscriber.isUp()) return;
      failed(error);
    }
    if (mine === connection && call.broker_answer(core.put(text, 1 << 20), refused)) {
      link.receive({ text: core.text() });
    }
  };

  const format: Format<Message> = {
    write: (envelope) => (serializer ? clone.write(envelope) : toText(envelope)),
    message: (envelope, text) => ({
      channel: `${prefix}${envelope.type}:${envelope.id}`,
      text: serializer ? serializer.stringify(envelope) : text,
    }),
    read: (data) => (data as Arrived).text,
    payload: (data, text, length, words) =>
      (data as Arrived).envelope
        ? (data as Arrived).envelope?.payload
        : payloadOf(core, text, length, words[2] as number, words[3] as number, words[5] as number),
  };

  const link = createLink<Message>(
    {
      capabilities: {
        echo: true,
        order: "connection",
        carries: "json",
        lifetime: "outlives",
        confirms: true,
      },
      forward: true,
      shared: true,
      outlives: {
        keepEvents: false,
        renewsCredentials: false,
        pingInterval: 1e9,
        pingTimeout: 1e9,
        backoff: { first: 1, max: 1, later: 1, stableAfter: 1 },
      },
    },
    options,
    {
      send(message) {
        if (typeof message === "string") void control(message);
        else {
          const { channel, text } = message;
          waiting += text.length;
          void (async () => publishClient.publish(channel, text))()
            .catch((error) => failed(error))
            .finally(() => {
              waiting -= text.length;
            });
        }
      },
      buffered: () => waiting,
      isUp: () => publisher.isUp(),
      end() {
        connection++;
      },
      ended() {
        for (const [name, handler] of handlers) subscribeClient.off(name as never, handler as never);
        // The client is given back without what was asked of it here.
        for (const channel of held) if (subscriber.isUp()) subscriber.unsubscribe(channel).catch(() => {});
      },
    },
    core,
    format,
  );

  const up = () => {
    if (!subscriber.isUp()) return;
    connection++;
    // The client asks anew for all that it had, also for what nobody has wanted since.
    const had = [...held];
    held.clear();
    link.open();
    for (const channel of had) if (!held.has(channel)) subscriber.unsubscribe(channel).catch(failed);
  };
  const down = (reason: string) => () => {
    connection++;
    link.lost(reason);
  };
  const handlers: [string, (...args: never[]) => void][] = [
    ["ready", up],
    ["close", down("the connection to Redis is lost")],
    ["reconnecting", down("the connection to Redis is lost")],
    ["end", down("the connection to Redis has ended")],
    ["error", failed],
    ["message", ((channel: string, text: string) => arrived(text, channel)) as never],
  ];
  const [publisher, subscriber] = [toSide(publishClient), toSide(subscribeClient)];
  for (const [name, handler] of handlers) subscribeClient.on(name as never, handler as never);
  up();
  return link.target as unknown as PubSubEventTarget<TEventMap>;
}

const isNodeRedis = (client: object): client is RedisClientLike & { isReady: boolean } => "isReady" in client;

function ioRedis(client: RedisClientLike & { status?: string }): Side {
  return {
    isUp: () => client.status === "ready",
    subscribe: async (channel) => client.subscribe(channel as never),
    unsubscribe: async (channel) => client.unsubscribe(channel as never),
  };
}

/** It calls a listener for each channel, and tells by that listener who wants it. */
function nodeRedis(
  client: RedisClientLike & { isReady: boolean },
  arrived: (text: string, channel: string) => void,
): Side {
  return {
    isUp: () => client.isReady,
    subscribe: async (channel) => client.subscribe(channel as never, arrived as never),
    unsubscribe: async (channel) => client.unsubscribe(channel as never, arrived as never),
  };
}
