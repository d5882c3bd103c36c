import { run, webSocketFixtures } from "./laws.js";

const asked = new URLSearchParams(location.search);
const done = (text) => {
  const element = document.createElement("pre");
  element.id = "done";
  element.textContent = text;
  document.body.append(element);
};
if (asked.get("where") === "worker") {
  const worker = new Worker("laws-worker.js");
  worker.onmessage = ({ data }) => done(data);
  worker.onerror = ({ message }) => done(`FAILED ${message}`);
  worker.postMessage(asked.get("hub"));
} else run(webSocketFixtures(asked.get("hub"))).then(done, (error) => done(`FAILED ${error}`));
