// A spoke in Node, with npm `ws` and nothing else.
//
//   node spoke.mjs URL say TYPE ID PAYLOAD      sends one event, prints the text that was sent
//   node spoke.mjs URL hear TYPE ID             prints "open", then the text of each event; ends with its stdin
//   node spoke.mjs URL subscribe TYPE ID        the same, after it has subscribed and been told so
import WebSocket from "ws";

const [url, role, type, id, payload] = process.argv.slice(2);
const ws = new WebSocket(url);
const listeners = new Map();
const send = (envelope) => {
  const text = JSON.stringify(envelope);
  ws.send(text);
  return text;
};

ws.on("message", (data) => {
  const envelope = JSON.parse(data);
  listeners.get(`${envelope.type}:${envelope.id}`)?.(data.toString());
});
ws.on("error", (error) => {
  console.error(error.message);
  process.exit(1);
});
ws.on("open", () => {
  if (role === "say") {
    console.log(send({ type, id, payload: JSON.parse(payload) }));
    return ws.close();
  }
  listeners.set(`${type}:${id}`, (text) => console.log(text));
  listeners.set("__subscribed:", () => console.log("open"));
  if (role === "subscribe") send({ type: "__subscribe", id: "", payload: { topic: `${type}:${id}` } });
  else console.log("open");
  process.stdin.on("end", () => ws.close()).resume();
});
