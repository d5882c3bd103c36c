// The laws on the WebSocket client, through a real hub, wherever this runs.
import { laws, unmet } from "../dist/conformance.js";
import { createWebSocketClientEventTarget } from "../dist/event-target-websocket-client.js";

const opened = (socket) =>
  new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve);
    socket.addEventListener("close", ({ code }) => reject(new Error(`not open: ${code}`)));
  });

/** Two connections to the hub; what one publishes the other hears, and itself, too, if it listens. */
function fixture(url) {
  return {
    capabilities: {
      echo: true,
      order: "connection",
      carries: "json",
      lifetime: "connection",
      confirms: true,
    },
    offers: { reports: true, close: true },
    inPlace: async (target, topic) => {
      await target.ready(topic);
    },
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
  };
}

/** A line for each law. */
export async function run(url) {
  const made = fixture(url);
  const lines = [];
  for (const law of laws) {
    const need = unmet(law, made);
    if (need !== undefined) lines.push(`n/a ${law.name}: ${need}`);
    else {
      try {
        await law.run(made);
        lines.push(`kept ${law.name}`);
      } catch (error) {
        lines.push(`FAILED ${law.name}: ${error}`);
      }
    }
  }
  return lines.join("\n");
}
