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

export const wanted = [
  'uuid-123 {"output":42}',
  'uuid-123 {"output":43}',
  'uuid-123 {"output":44}',
  "[20,40]",
  "1 true",
  "refused: true",
  "laws kept: all",
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
