// A page that talks through a hub over iroh, as a target of one connection or as a spoke; or that runs the laws on both.
import { createIrohEndpoint, createIrohSpokeEventTarget } from "../dist/event-target-iroh-spoke.js";
import { createPubSub } from "../dist/index.js";
import { createSpoke } from "../dist/spoke.js";
import { run } from "./laws.js";
import { irohFixtures } from "./laws-iroh.js";

const asked = new URLSearchParams(location.search);
const [hub, relay, as] = ["hub", "relay", "as"].map((name) => asked.get(name));
const append = (tag, text, parts = {}) => {
  const element = Object.assign(document.createElement(tag), { textContent: text }, parts);
  document.getElementById("events").append(element);
};
const show = (state, text = state) => {
  const element = document.getElementById("state");
  element.dataset.state = state;
  element.textContent = text;
};

const times = { pingInterval: 1000, pingTimeout: 2000 };
async function make(endpoint) {
  if (as === "target") return createIrohSpokeEventTarget({ endpoint, hubNodeId: hub, ...times });
  const backoff = { first: 50, max: 500 };
  const onState = ({ status }) => show(status);
  return createSpoke(() => endpoint.connect(hub), { ...times, backoff, onState });
}

async function talk(endpoint) {
  const eventTarget = await make(endpoint);
  eventTarget.addEventListener("close", ({ detail }) => show("closed", `${detail.code}: ${detail.reason}`));
  const pubsub = createPubSub({ eventTarget });
  document.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    pubsub.publish("message.sent", "lobby", { text: document.getElementById("text").value });
  });
  const messages = pubsub.subscribe("message.sent", "lobby", { losses: true });
  const { status } = await messages.ready;
  if (status === "confirmed") show(status, endpoint.id);
  for await (const item of messages) append("li", item.type === "__gap" ? "a gap" : item.payload.text);
  append("li", `ended: ${messages.end.reason}`);
}

async function start() {
  const endpoint = await createIrohEndpoint(relay === "" ? {} : { relay });
  if (as !== "laws") return talk(endpoint);
  append("pre", await run(irohFixtures(endpoint, hub)), { id: "done" });
}
start().catch((error) => show("failed", `${error.name} ${error.code}: ${error.message}`));
