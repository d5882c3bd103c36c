// A page that connects to a hub, subscribes, publishes, and shows what comes: ?hub=ws://127.0.0.1:8484/&room=lobby
import { createPubSub } from "@alkdev/pubsub";
import { createSpoke } from "@alkdev/pubsub/spoke";

const asked = new URLSearchParams(location.search);
const hub = asked.get("hub") ?? "ws://127.0.0.1:8484/";
const room = asked.get("room") ?? "lobby";
const element = (id) => document.getElementById(id);

element("room").textContent = room;
const show = (state) => {
  element("state").textContent = element("state").dataset.state = state;
};
const add = (text, kind) => {
  const item = document.createElement("li");
  item.textContent = text;
  item.className = kind;
  element("events").append(item);
};

// It connects anew whenever the connection is lost, and stays where it is in between.
const eventTarget = createSpoke(hub, {
  onState: ({ status }) => show(status),
});
const pubsub = createPubSub({ eventTarget });
const messages = pubsub.subscribe("message.sent", room, { losses: true });
messages.ready.then(({ status }) => show(status));

element("publish").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = element("text");
  if (pubsub.publish("message.sent", room, { text: text.value })) text.value = "";
});

for await (const message of messages) {
  if (message.type === "message.sent") add(String(message.payload.text), "message");
  else {
    add("some messages may be missing here", "loss");
    show("confirmed");
  }
}
add(`it has ended: ${messages.end?.detail}`, "loss");
