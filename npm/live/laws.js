// The laws through a real hub, wherever this runs, and the targets of WebSockets.
import { laws, unmet } from "../dist/conformance.js";
import { createWebSocketClientEventTarget } from "../dist/event-target-websocket-client.js";
import { createSpoke } from "../dist/spoke.js";

const opened = (socket) =>
  new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve);
    socket.addEventListener("close", ({ code }) => reject(new Error(`not open: ${code}`)));
  });

/** Two peers at the hub; what one publishes the other hears, and itself, too, if it listens. */
export const through = {
  capabilities: { echo: true, order: "connection", carries: "json", lifetime: "outlives", confirms: true },
  offers: { reports: true, close: true },
  async inPlace(target, topic) {
    await target.ready(topic);
  },
};

/** Those that outlive their connections, which `connect` makes. */
export const spokes = (connect) => ({
  ...through,
  async peers() {
    const reported = [];
    const made = await Promise.all(
      [1, 2].map(
        () =>
          new Promise((resolve) => {
            const spoke = createSpoke(connect, {
              onError: (error) => reported.push(error),
              onState: ({ status }) => status === "connected" && queueMicrotask(() => resolve(spoke)),
            });
          }),
      ),
    );
    const [publisher, subscriber] = made;
    const dispose = () => made.forEach((spoke) => void spoke.close());
    return { publisher, subscribers: [subscriber], reported, dispose };
  },
});

export const webSocketFixtures = (url) => ({
  websocket_client: {
    ...through,
    capabilities: { ...through.capabilities, lifetime: "connection" },
    async peers() {
      const reported = [];
      const sockets = [new WebSocket(url), new WebSocket(url)];
      await Promise.all(sockets.map(opened));
      const onError = (error) => reported.push(error);
      const [publisher, subscriber] = sockets.map((socket) =>
        createWebSocketClientEventTarget(socket, { onError }),
      );
      const dispose = () => sockets.forEach((socket) => void socket.close());
      return { publisher, subscribers: [subscriber], reported, dispose };
    },
  },
  spoke: spokes(() => new WebSocket(url)),
});

/** A line for each law on each. */
export async function run(fixtures) {
  const lines = [];
  for (const [name, fixture] of Object.entries(fixtures)) {
    for (const law of laws) {
      const need = unmet(law, fixture);
      if (need !== undefined) lines.push(`n/a ${name} ${law.name}: ${need}`);
      else {
        try {
          await law.run(fixture);
          lines.push(`kept ${name} ${law.name}`);
        } catch (error) {
          lines.push(`FAILED ${name} ${law.name}: ${error}`);
        }
      }
    }
  }
  return lines.join("\n");
}
