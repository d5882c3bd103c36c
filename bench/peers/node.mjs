// A hub on Node with npm's `ws`: node node.mjs PORT
//
// Texts are passed on as the bytes that came. A reader for whom more than 1 MiB waits is dropped, as elsewhere.
import { WebSocketServer } from "ws";

const holders = new Map();
const port = Number(process.argv[2]);
const hub = new WebSocketServer({ host: "127.0.0.1", port, backlog: 4096, maxPayload: 64 << 10, perMessageDeflate: false });

hub.on("connection", (spoke) => {
  const held = new Set();
  const leave = (topic) => {
    held.delete(topic);
    const spokes = holders.get(topic);
    if (spokes?.delete(spoke) && spokes.size === 0) holders.delete(topic);
  };
  spoke.on("error", () => spoke.terminate());
  spoke.on("close", () => held.forEach(leave));
  spoke.on("message", (bytes) => {
    const { type, id, payload } = JSON.parse(bytes);
    switch (type) {
      case "__subscribe":
        held.add(payload.topic);
        if (!holders.has(payload.topic)) holders.set(payload.topic, new Set());
        holders.get(payload.topic).add(spoke);
        spoke.send(JSON.stringify({ type: "__subscribed", id: "", payload }));
        break;
      case "__unsubscribe":
        leave(payload.topic);
        break;
      default:
        for (const reader of holders.get(`${type}:${id}`) ?? []) {
          if (reader.bufferedAmount > 1 << 20) reader.terminate();
          else reader.send(bytes, { binary: false });
        }
    }
  });
});
