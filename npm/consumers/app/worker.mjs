// A thread that does it, and a main thread that hears of it.
import { isMainThread, parentPort, Worker } from "node:worker_threads";

if (isMainThread) {
  const worker = new Worker(new URL(import.meta.url));
  worker.on("message", (line) => console.log(line));
  worker.on("error", (error) => {
    console.error(error);
    process.exitCode = 1;
  });
} else {
  const { laws, link, program } = await import("./program.mjs");
  const pubsub = await import("@alkdev/pubsub");
  const lines = [
    ...(await program(pubsub)),
    ...(await laws(await import("@alkdev/pubsub/conformance"))),
    ...(await link(pubsub, await import("@alkdev/pubsub/event-target-websocket-client"))),
  ];
  // Ends by itself when the port is not listened to: the package holds nothing open.
  for (const line of lines) parentPort.postMessage(line);
}
