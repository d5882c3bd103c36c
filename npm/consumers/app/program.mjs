// What every consumer does with the package, however it came by it. `pubsub` is the module.
export async function program({ createPubSub, Repeater, filter, map, pipe, take, toArray }) {
  const lines = [];
  const pubsub = createPubSub();

  const events = pubsub.subscribe("call.responded", "uuid-123");
  const heard = (async () => {
    for await (const { id, payload } of events) {
      lines.push(`${id} ${JSON.stringify(payload)}`);
      if (payload.output === 44) break;
    }
  })();
  for (const output of [42, 43, 44, 45]) pubsub.publish("call.responded", "uuid-123", { output });
  pubsub.publish("call.responded", "another", { output: 0 });
  await heard;

  const numbers = await pipe(
    new Repeater((push, stop) => {
      for (const number of [1, 2, 3, 4, 5, 6]) push(number);
      stop();
    }),
    filter((number) => number % 2 === 0),
    map((number) => number * 10),
    take(2),
    toArray(),
  );
  lines.push(JSON.stringify(numbers));

  const error = new Error("the very same");
  const failing = new Repeater((push, stop) => {
    push(1);
    stop(error);
  });
  const first = await failing.next();
  lines.push(`${first.value} ${await failing.next().catch((caught) => caught === error)}`);

  try {
    pubsub.publish("__reserved", "", null);
  } catch (refused) {
    lines.push(`refused: ${refused instanceof Error}`);
  }
  return lines;
}

// The laws that the in-process target keeps, in this runtime. `conformance` is that module.
export async function laws({ laws, unmet, inProcess }) {
  let kept = 0;
  for (const law of laws) {
    if (unmet(law, inProcess) !== undefined) continue;
    await law.run(inProcess);
    kept += 1;
  }
  return [`laws kept: ${kept > 20 ? "all" : kept}`];
}

// A link to a far side in this program: the core is unpacked, compiled and asked. `client` is its module.
export async function link({ createPubSub }, { createWebSocketClientEventTarget }) {
  const handlers = new Map();
  const tell = (text) => queueMicrotask(() => handlers.get("message")({ data: text }));
  const sent = [];
  const socket = {
    readyState: 1,
    bufferedAmount: 0,
    binaryType: "blob",
    addEventListener: (type, handler) => handlers.set(type, handler),
    removeEventListener: (type) => handlers.delete(type),
    close() {},
    // What a hub does for one spoke.
    send(text) {
      const { type, payload } = JSON.parse(text);
      sent.push(type);
      if (type === "__subscribe") tell(text.replace("__subscribe", "__subscribed"));
      else if (!type.startsWith("__")) tell(JSON.stringify({ type: "echo", id: "ü", payload }));
    },
  };
  const pubsub = createPubSub({ eventTarget: createWebSocketClientEventTarget(socket) });
  const events = pubsub.subscribe("echo", "ü");
  const lines = [`link: ${(await events.ready).status}`];
  pubsub.publish("say", "", { text: "é €", n: 42 });
  const { value } = await events.next();
  lines.push(`link heard: ${JSON.stringify(value)}`);
  await events.return();
  return [...lines, `link sent: ${sent}`, `link left: ${socket.binaryType}`];
}

export const wanted = [
  'uuid-123 {"output":42}',
  'uuid-123 {"output":43}',
  'uuid-123 {"output":44}',
  "[20,40]",
  "1 true",
  "refused: true",
  "laws kept: all",
  "link: confirmed",
  'link heard: {"type":"echo","id":"ü","payload":{"text":"é €","n":42}}',
  "link sent: __subscribe,say,__unsubscribe",
  "link left: arraybuffer",
];

/** What workers.mjs prints. */
export const workers = [
  "ready: confirmed",
  "waited for the thread: 1,2,3; a map of a date: 7",
  "out: 10000, 0 wrong; in: 10000, 0 wrong",
  "a function: not_cloneable",
  "no worker here: no_worker",
  "terminated: the worker has ended with exit code n",
  "failed: with its error",
];
