// A hub on Bun's own topics, which are those of uWebSockets: bun bun.ts PORT
//
// As small as such a hub is usually written: JSON.parse is its whole check. Its bound for a slow reader is ours:
// 1 MiB, and who exceeds it is closed.
const hub = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.argv[2]),
  fetch: (request, server) => (server.upgrade(request) ? undefined : new Response(null, { status: 426 })),
  websocket: {
    perMessageDeflate: false,
    maxPayloadLength: 64 << 10,
    backpressureLimit: 1 << 20,
    closeOnBackpressureLimit: true,
    message(spoke, text: string) {
      const { type, id, payload } = JSON.parse(text);
      if (!type.startsWith("__")) {
        // To all who hold the topic, the sender included.
        hub.publish(`${type}:${id}`, text);
      } else if (type === "__subscribe") {
        spoke.subscribe(payload.topic);
        spoke.send(JSON.stringify({ type: "__subscribed", id: "", payload }));
      } else if (type === "__unsubscribe") {
        spoke.unsubscribe(payload.topic);
      }
    },
  },
});
