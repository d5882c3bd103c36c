// One socket for all tabs: the tab that holds a lock has it, and passes on what the others say and hear. When that tab
// is closed, another takes over. ?hub=ws://127.0.0.1:8484/&room=lobby
import { createPubSub } from "@alkdev/pubsub";
import { createWorkerHostEventTarget } from "@alkdev/pubsub/event-target-worker";
import { createSpoke } from "@alkdev/pubsub/spoke";

const asked = new URLSearchParams(location.search);
const hub = asked.get("hub") ?? "ws://127.0.0.1:8484/";
const room = asked.get("room") ?? "lobby";
const element = (id) => document.getElementById(id);
const show = (state) => {
  element("state").textContent = element("state").dataset.state = state;
};

/** A pubsub on a channel between tabs, which takes it for a worker's port. None hears itself on it. */
const between = (name) =>
  createPubSub({ eventTarget: createWorkerHostEventTarget(new BroadcastChannel(name)) });
const [up, down] = [`to ${hub}`, `from ${hub}`];

const said = between(up);
const messages = between(down).subscribe("message.sent", room);
element("room").textContent = room;
element("publish").addEventListener("submit", (event) => {
  event.preventDefault();
  said.publish("message.sent", room, { text: element("text").value });
  element("text").value = "";
});
show("listening");

// Whoever gets the lock keeps it until its tab is closed.
navigator.locks.request(`the socket to ${hub}`, async () => {
  const outside = createPubSub({ eventTarget: createSpoke(hub) });
  const [fromTabs, toTabs] = [between(up), between(down)];
  const [heard, told] = [outside, fromTabs].map((side) => side.subscribe("message.sent", room));
  await Promise.all([heard.ready, told.ready]);
  show("connected");
  // This tab's own list is at another end of the channel, and hears what goes to the tabs.
  await Promise.all([pass(heard, toTabs), pass(told, outside)]);
});

async function pass(events, to) {
  for await (const { type, id, payload } of events) to.publish(type, id, payload);
}

for await (const { payload } of messages) {
  const item = document.createElement("li");
  item.textContent = String(payload.text);
  element("events").append(item);
}
