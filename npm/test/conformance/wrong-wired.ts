// Links and hubs that break the contract in one way each: sound targets, with something wrong around them or on their
// way to the far side.
import type { Fixture, Target, TargetListener, Wrong } from "../../src/conformance/index.js";
import { spokeWire, type Wrongs, websocketClientWire, websocketServerWire } from "./wired.js";

interface Message {
  readonly type?: string;
  readonly id?: string;
  readonly payload?: { readonly topic?: string; readonly action?: string; readonly reason?: string };
}
type Flaw = readonly [what: string, killedBy: readonly string[], wrongs: () => Wrongs];

function read(message: unknown): Message {
  try {
    return Object(JSON.parse(message as string)) as Message;
  } catch {
    return {};
  }
}

const around = (
  change: (sound: Target, socket: Parameters<NonNullable<Wrongs["target"]>>[1]) => Partial<Target>,
) => ({
  target: (...given: Parameters<NonNullable<Wrongs["target"]>>): Target => ({
    ...given[0],
    ...change(...given),
  }),
});
const never = new Promise<never>(() => undefined);

/** What comes in passes this by; nothing: it is lost. */
const incoming = (change: (message: Message, text: string) => Message | undefined): Wrongs => ({
  in(message, on) {
    if (typeof message !== "string") return on(message);
    const [before, found] = [read(message), change(read(message), message)];
    if (found) on(JSON.stringify(found) === JSON.stringify(before) ? message : JSON.stringify(found));
  },
});
const code = (change: (code: number) => number): Wrongs => ({
  in: (message, on) =>
    on(typeof message === "object" && "code" in message ? { code: change(message.code) } : message),
});
/** A listener that is a function, and called in another way. */
const callback = (listener: TargetListener | null, call: (event: never) => void) =>
  (typeof listener === "function" ? call : listener) as TargetListener | null;

const asksTwice = (): Wrongs => ({
  out(text, on) {
    on(text);
    if (read(text).type === "__subscribe") on(text);
  },
});
const confirmsEarly = (): Wrongs => around(() => ({ ready: async () => ({ status: "confirmed" }) }));
const forgetsReasons = (): Wrongs =>
  incoming((message) =>
    message.type === "__denied"
      ? { ...message, payload: { ...message.payload, reason: "not_allowed" } }
      : message,
  );

/** Targets of one connection. */
const links: Readonly<Record<string, Flaw>> = {
  NoticeErrorsNotTold: [
    "keeps what throws at a notice to itself",
    ["isolation_notices"],
    () =>
      around((sound) => ({
        addEventListener(name, listener, options) {
          const quiet = callback(listener, (event) => {
            try {
              (listener as (event: never) => void)(event);
            } catch {
              // That is what is wrong.
            }
          });
          sound.addEventListener(name, name.includes(":") ? listener : quiet, options);
        },
      })),
  ],
  WritesAnew: [
    "sends the members of an envelope in another order",
    ["round_trip_wire"],
    () => ({
      out(text, on) {
        const { type, id, payload } = read(text);
        on(type?.startsWith("__") ? text : JSON.stringify({ id, type, payload }));
      },
    }),
  ],
  TakesReserved: [
    "says that it has taken an event of a reserved type",
    ["reserved_wire"],
    () =>
      around((sound) => ({
        dispatchEvent(event) {
          try {
            return sound.dispatchEvent(event);
          } catch {
            return true;
          }
        },
      })),
  ],
  AsksTwice: ["asks for a topic twice", ["refcount"], asksTwice],
  ConfirmsEarly: [
    "says that a subscription is in place when it was asked for",
    ["ready_waits"],
    confirmsEarly,
  ],
  ForgetsReasons: ["reads every denial as not_allowed", ["ready_denied", "ready_draining"], forgetsReasons],
  WaitsAnew: [
    "waits 2 s for each subscription at a hub that answers none",
    ["ready_unanswered"],
    () =>
      around((sound) => {
        let waited = false;
        return {
          async ready(topic) {
            const found = await sound.ready?.(topic);
            if (waited) await new Promise((resolve) => setTimeout(resolve, 2000));
            waited = true;
            return found ?? { status: "unconfirmed" };
          },
        };
      }),
  ],
  DeniesBoth: [
    "takes a publication that was denied for a subscription",
    ["ready_denied_publish"],
    () =>
      incoming((message) =>
        message.payload?.action === "publish"
          ? { ...message, payload: { ...message.payload, action: "subscribe" } }
          : message,
      ),
  ],
  SwallowsBadInput: [
    "ignores what is no envelope",
    ["bad_input"],
    () => incoming((message) => (message.type === undefined ? undefined : message)),
  ],
  NamesNoReason: [
    "does not say what was wrong with bad input",
    ["bad_input_by_reason"],
    () =>
      around((sound) => ({
        addEventListener(name, listener, options) {
          const short = (event: { detail: { error: { code: unknown } } }) =>
            (listener as (event: never) => void)({
              ...event,
              detail: { error: { code: event.detail.error.code, message: "bad input" } },
            } as never);
          sound.addEventListener(name, name === "error" ? callback(listener, short) : listener, options);
        },
      })),
  ],
  Patient: [
    "goes on after any number of bad messages",
    ["bad_input_limit"],
    () => {
      let bad = 0;
      return incoming((message) => {
        bad += +(message.type === undefined);
        return message.type === undefined && bad > 60 ? undefined : message;
      });
    },
  ],
  DropsTooLarge: [
    "drops what is over its limit without a word",
    ["bad_input_too_large"],
    () => incoming((message, text) => (text.length > 65_536 ? undefined : message)),
  ],
  SwallowsGaps: [
    "does not tell what its hub says was lost",
    ["loss_is_seen_far", "loss_is_seen_merged"],
    () => incoming((message) => (message.type === "__gap" ? undefined : message)),
  ],
  ForgetsWaiters: [
    "leaves those who wait for an answer waiting after its end",
    ["connection_loss_waiters", "close_waiters"],
    () =>
      around((sound) => ({
        ready: async (topic) => {
          const found = await sound.ready?.(topic);
          return found && found.status !== "closed" ? found : never;
        },
      })),
  ],
  TalksAfterClose: [
    "says that it leaves its topics after it was closed",
    ["close_wire"],
    () =>
      around((sound, socket) => ({
        close() {
          sound.close?.();
          socket?.send('{"type":"__unsubscribe","id":"","payload":{"topic":"a:"}}');
        },
      })),
  ],
  AnswersCloseFirst: [
    "answers a Close before what came ahead of it",
    ["close_answered"],
    () => ({
      in(message, on) {
        if (typeof message === "string") setTimeout(() => on(message));
        else on(message);
      },
    }),
  ],
  EndsWhatWasLent: [
    "closes the socket that it was lent",
    ["close_lent"],
    () =>
      around((sound, socket) => ({
        close() {
          sound.close?.();
          socket?.close(1000);
        },
      })),
  ],
  SaysTaken: [
    "says that it took an event that it had no room for",
    ["bounded_outbound"],
    () =>
      around((sound) => ({
        dispatchEvent(event) {
          sound.dispatchEvent(event);
          return true;
        },
      })),
  ],
  DropsControl: [
    "drops one subscription in a hundred",
    ["bounded_control"],
    () => {
      let asked = 0;
      return {
        out(text, on) {
          if (read(text).type !== "__subscribe" || ++asked % 100 > 0) on(text);
        },
      };
    },
  ],
  CountsNothing: [
    "has counters that stay at 0",
    ["counted", "counted_wire"],
    () =>
      around((sound) => ({
        stats: () => Object.fromEntries(Object.keys(sound.stats?.() ?? {}).map((name) => [name, 0])),
      })),
  ],
};

/** Targets that outlive their connections. */
const spokes: Readonly<Record<string, Flaw>> = {
  TakesAll: [
    "says that it has taken an event while it has no connection",
    ["connection_loss_outlives"],
    () =>
      around((sound) => ({
        dispatchEvent(event) {
          sound.dispatchEvent(event);
          return true;
        },
      })),
  ],
  ConfirmsEarly: [
    "says that a topic is in place without a connection, or before it was confirmed anew",
    ["connection_loss_ready", "connection_loss_answers", "connection_loss_draining"],
    confirmsEarly,
  ],
  SwallowsGaps: [
    "does not tell of an interruption",
    ["connection_loss_gap", "connection_loss_outlives", "connection_loss_again"],
    () =>
      around((sound) => ({
        addEventListener(name, listener, options) {
          if (name !== "gap") sound.addEventListener(name, listener, options);
        },
      })),
  ],
  AsksTwice: ["asks for a topic twice", ["connection_loss_wanted"], asksTwice],
  IgnoresDenials: [
    "goes on as if it had not been denied",
    ["connection_loss_denied"],
    () => incoming((message) => (message.type === "__denied" ? undefined : message)),
  ],
  ForgetsReasons: ["ends a topic that a draining hub put off", ["connection_loss_draining"], forgetsReasons],
  ComesBack: ["connects anew whatever its hub says", ["connection_loss_final"], () => code(() => 1011)],
  GivesUp: ["ends whatever its hub says", ["connection_loss_again"], () => code(() => 1000)],
};

/** Hubs. */
const hubs: Readonly<Record<string, Flaw>> = {
  AnswersOnce: [
    "does not answer a subscription to a topic that is held already",
    ["ready_answers"],
    () => {
      const answered = new Set<unknown>();
      return {
        out(text, on) {
          const { type, payload } = read(text);
          if (type === "__subscribed" && answered.has(payload?.topic)) return;
          answered.add(payload?.topic);
          on(text);
        },
      };
    },
  ],
  AnswersPingsFirst: [
    "answers a ping before what came ahead of it",
    ["ready_ping"],
    () => ({
      out(text, on) {
        if (read(text).type === "__pong") on(text);
        else setTimeout(() => on(text));
      },
    }),
  ],
  OwnsDirect: [
    "denies `direct` where there are no identities",
    ["ready_direct"],
    () => ({
      out(text, on) {
        const { type, payload } = read(text);
        const topic = payload?.topic;
        if (type !== "__subscribed" || !topic?.startsWith("direct:")) return on(text);
        on(
          JSON.stringify({
            type: "__denied",
            id: "",
            payload: { topic, action: "subscribe", reason: "not_allowed" },
          }),
        );
      },
    }),
  ],
  KeepsTheSlow: [
    "does not see that a spoke reads nothing",
    ["bounded_slow_spoke"],
    () => ({
      socket: (sound) =>
        void Object.defineProperty(sound, "bufferedAmount", { get: () => 0, set: () => undefined }),
    }),
  ],
};

const wrongs = (
  kind: string,
  flaws: Readonly<Record<string, Flaw>>,
  fixture: (wrongs: Wrongs) => Fixture,
): Wrong[] =>
  Object.entries(flaws).map(([name, [what, killedBy, make]]) => ({
    name: `${kind}::${name}`,
    what,
    killedBy,
    // Each run of a law has a flaw of its own, that begins anew. Some die by not coming to an end.
    fixture: { ...fixture({}), deadline: 3000, peers: () => fixture(make()).peers() },
  }));

/** All of them. */
export const wrongWired: readonly Wrong[] = [
  ...wrongs("WiredLink", links, websocketClientWire),
  ...wrongs("WiredSpoke", spokes, spokeWire),
  ...wrongs("WiredHub", hubs, websocketServerWire),
];
