// What works under a Content-Security-Policy, and what is said where it does not.

import { createWebSocketClientEventTarget } from "../dist/event-target-websocket-client.js";
import { createPubSub } from "../dist/index.js";

async function first(pubsub, payload) {
  const events = pubsub.subscribe("tick", "");
  await events.ready;
  pubsub.publish("tick", "", payload);
  return JSON.stringify((await events.next()).value.payload);
}

async function run() {
  const inProcess = `in-process: ${await first(createPubSub(), 1)}`;
  const hub = new URLSearchParams(location.search).get("hub");
  try {
    const socket = hub === "none" ? new EventTarget() : new WebSocket(hub);
    const eventTarget = createWebSocketClientEventTarget(socket);
    await new Promise((resolve) => socket.addEventListener("open", resolve));
    return `${inProcess}; through the hub: ${await first(createPubSub({ eventTarget }), { n: 42 })}`;
  } catch (error) {
    return `${inProcess}; ${error.name} ${error.code}: ${error.message}`;
  }
}

const element = document.createElement("pre");
run()
  .catch(String)
  .then((text) => {
    element.id = "done";
    element.textContent = text;
    document.body.append(element);
  });
