// The files of the page: what is beside this one, and the package as `npm run build` made it.
import { createReadStream, existsSync } from "node:fs";
import { createServer } from "node:http";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";

export const root = new URL("../../", import.meta.url);
const types = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".css": "text/css",
  ".wasm": "application/wasm",
};

/** From the first part of a path to the folder that it names; the page's own for all others. */
const folders = {
  pubsub: new URL("npm/dist/", root),
  repeater: new URL("npm/node_modules/@repeaterjs/repeater/", root),
};

/**
 * Serves them on loopback, with more folders and headers if they are given.
 * @returns {Promise<{ url: string, close: () => void }>}
 */
export function serveFiles(port, { more = {}, headers = () => ({}) } = {}) {
  const all = { ...folders, ...more };
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://host");
    const [, first = "", ...rest] = decodeURIComponent(pathname).split("/");
    const folder = Object.hasOwn(all, first) ? all[first] : new URL("./", import.meta.url);
    const name = folder === all[first] ? rest.join("/") : pathname.slice(1) || "index.html";
    const file = new URL(name, folder);
    // `..` and the like lead nowhere else.
    if (!file.href.startsWith(folder.href) || !existsSync(file) || !(extname(file.pathname) in types)) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "content-type": types[extname(file.pathname)], ...headers(pathname) });
    createReadStream(fileURLToPath(file)).pipe(response);
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      const { port: bound } = server.address();
      resolve({ url: `http://127.0.0.1:${bound}/`, close: () => server.close() });
    });
  });
}
