// The laws on the WebSocket client, through a real hub, wherever this runs.
import { laws, unmet } from "../dist/conformance.js";
import { createWebSocketClientEventTarget } from "../dist/event-target-websocket-client.js";
import { createSpoke } from "../dist/spoke.js";

const opened = (socket) =>
  new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve);
    socket.addEventListener("close", ({ code }) => reject(new Error(`not open: ${code}`)));
  });

const through = { echo: true, order: "connection", carries: "json", confirms: true };
const inPlace = async (target, topic) => {
  await target.ready(topic);
};

/** Two peers at the hub; what one publishes the other hears, and itself, too, if it listens. */
const fixtures = {
  websocket_client: (url) => ({
    capabilities: { ...through, lifetime: "connection" },
    offers: { reports: true, close: true },
    inPlace,
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
  }),
  spoke: (url) => ({
    capabilities: { ...through, lifetime: "outlives" },
    offers: { reports: true, close: true },
    inPlace,
    async peers() {
      const reported = [];
      const spokes = await Promise.all(
        [1, 2].map(
          () =>
            new Promise((resolve) => {
              const spoke = createSpoke(() => new WebSocket(url), {
                onError: (error) => reported.push(error),
                onState: ({ status }) => status === "connected" && queueMicrotask(() => resolve(spoke)),
              });
            }),
        ),
      );
      const [publisher, subscriber] = spokes;
      const dispose = () => spokes.forEach((spoke) => void spoke.close());
      return { publisher, subscribers: [subscriber], reported, dispose };
    },
  }),
};

/** A line for each law on each. */
export async function run(url) {
  const lines = [];
  for (const [name, make] of Object.entries(fixtures)) {
    const fixture = make(url);
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
