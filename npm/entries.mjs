// What can be imported, and the file it comes from: the one table. `npm run build` bundles these files and writes
// the `exports` of package.json from them; a test compares the two. A new entry is one line here. One that needs
// modules of Node there names two files: that of Node, and of what has its modules, is nothing that a page loads.
export const entries = {
  ".": "src/index.ts",
  "./conformance": "src/conformance/index.ts",
  "./event-target-websocket-client": "src/websocket-client.ts",
  "./event-target-websocket-server": "src/websocket-server.ts",
  "./event-target-iroh-spoke": { node: "src/iroh/spoke-node.ts", default: "src/iroh/spoke.ts" },
  "./event-target-worker": { node: "src/worker-node.ts", default: "src/worker.ts" },
  "./payload-target": "src/payload-target.ts",
  "./event-target-redis": "src/redis.ts",
  "./spoke": "src/spoke.ts",
};

/** What is no program, and may be asked for by its place: the build puts it beside the entries. */
export const files = ["iroh.wasm"];

/** The name of an entry's files in dist/. */
export const fileOf = (path) => (path === "." ? "index" : path.slice(2));

/** From names of files in dist/ to their sources. */
export const sourcesOf = (table) =>
  Object.fromEntries(
    Object.entries(table).flatMap(([path, source]) =>
      typeof source === "string"
        ? [[fileOf(path), source]]
        : [
            [fileOf(path), source.default],
            [`${fileOf(path)}-node`, source.node],
          ],
    ),
  );

const conditions = (types, file = types) => ({
  import: { types: `${types}.d.ts`, default: `${file}.js` },
  require: { types: `${types}.d.cts`, default: `${file}.cjs` },
});

/** The `exports` of package.json. The types are the same everywhere. */
export const exportsOf = (table) =>
  Object.fromEntries([
    ...Object.entries(table).map(([path, source]) => {
      const file = `./dist/${fileOf(path)}`;
      return [
        path,
        {
          ...(typeof source === "object" && { node: conditions(file, `${file}-node`) }),
          ...conditions(file),
        },
      ];
    }),
    ...files.map((file) => [`./${file}`, `./dist/${file}`]),
    ["./package.json", "./package.json"],
  ]);
