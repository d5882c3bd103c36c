// Targets of an endpoint of iroh's at a real hub, wherever this runs.
import { createIrohSpokeEventTarget } from "../dist/event-target-iroh-spoke.js";
import { spokes, through } from "./laws.js";

const opened = (socket) =>
  new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve);
    socket.addEventListener("close", ({ code, reason }) => reject(new Error(`not open: ${code} ${reason}`)));
  });

/** Two connections of one endpoint, which is lent to both. */
export const irohFixtures = (endpoint, hub) => ({
  iroh_spoke: {
    ...through,
    capabilities: { ...through.capabilities, lifetime: "connection" },
    offers: { reports: true, close: true, lent: true },
    async peers() {
      const reported = [];
      const onError = (error) => reported.push(error);
      const [publisher, subscriber] = await Promise.all(
        [1, 2].map(() => createIrohSpokeEventTarget({ endpoint, hubNodeId: hub, onError })),
      );
      const lent = {
        async useAgain() {
          const socket = endpoint.connect(hub);
          await opened(socket);
          socket.close();
        },
      };
      const dispose = () => [publisher, subscriber].forEach((target) => void target.close());
      return { publisher, subscribers: [subscriber], reported, lent, dispose };
    },
  },
  spoke_over_iroh: spokes(() => endpoint.connect(hub)),
});
