// A hub on the package's own server target, in Node, Bun or Deno: server-program.mjs. It passes on every event of a topic
// that somebody subscribed to, as the hub program does.
import { createWebSocketServerEventTarget } from "../dist/event-target-websocket-server.js";

const relayed = new Set();
const target = createWebSocketServerEventTarget({
  authorise(_spoke, action, type, id) {
    const topic = `${type}:${id}`;
    if (action === "subscribe" && !relayed.has(topic)) {
      relayed.add(topic);
      target.addEventListener(topic, ({ detail }) => target.dispatchEvent({ type: topic, detail }));
    }
    return true;
  },
  maxTopicsPerLink: 10_000,
  onDisconnection: (_spoke, { code }) => console.log(`gone ${code}`),
});
const listens = (port) => console.log(`listening on ws://127.0.0.1:${port}/`);

if (globalThis.Bun) {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request, server) =>
      server.upgrade(request, { data: {} }) ? undefined : new Response("", { status: 426 }),
    websocket: {
      maxPayloadLength: 1 << 20,
      open(socket) {
        socket.data.spoke = target.addConnection(socket);
      },
      message: (socket, message) => socket.data.spoke?.message(message),
      close: (socket, code, reason) => socket.data.spoke?.closed(code, reason),
    },
  });
  listens(server.port);
} else if (globalThis.Deno) {
  Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: ({ port }) => listens(port) }, (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request);
    target.addConnection(socket);
    return response;
  });
} else {
  const { WebSocketServer } = await import("ws");
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", maxPayload: 1 << 20 });
  server.on("connection", (socket) => target.addConnection(socket));
  server.on("listening", () => listens(server.address().port));
}
