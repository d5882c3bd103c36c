import { run, webSocketFixtures } from "./laws.js";

self.addEventListener("message", ({ data }) => {
  run(webSocketFixtures(data)).then(postMessage, (error) => postMessage(`FAILED ${error}`));
});
