// A child in Node, with nothing else: answers each `said` with a `shouted`.

function send(type, id, payload) {
  const text = Buffer.from(JSON.stringify({ type, id, payload }));
  const header = Buffer.alloc(4);
  header.writeUInt32BE(text.length);
  process.stdout.write(Buffer.concat([header, text]));
}

function take({ type, id, payload }) {
  if (type === "__ping") send("__pong", "", { echo: payload, protocol: 1, features: [] });
  if (type === "said") {
    console.error("heard", id); // standard output is the link's
    send("shouted", id, payload.toUpperCase());
  }
  if (type === "__close") send("__close", "", { code: payload.code, reason: "" });
  return type === "__close";
}

let waiting = Buffer.alloc(0);
read: for await (const bytes of process.stdin) {
  waiting = Buffer.concat([waiting, bytes]);
  while (waiting.length >= 4) {
    const end = 4 + waiting.readUInt32BE();
    if (waiting.length < end) break;
    const message = JSON.parse(waiting.toString("utf8", 4, end));
    waiting = waiting.subarray(end);
    if (take(message)) break read;
  }
}
// The link has ended, with or without a `__close`: so does the child.
