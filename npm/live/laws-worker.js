import { run } from "./laws.js";

self.addEventListener("message", ({ data }) => {
  run(data).then(postMessage, (error) => postMessage(`FAILED ${error}`));
});
