// What can be imported, and the file it comes from: the one table. `npm run build` bundles these files and writes
// the `exports` of package.json from them; a test compares the two. A new entry is one line here.
export const entries = {
  ".": "src/index.ts",
  "./conformance": "src/conformance/index.ts",
  "./event-target-websocket-client": "src/websocket-client.ts",
  "./event-target-websocket-server": "src/websocket-server.ts",
  "./payload-target": "src/payload-target.ts",
  "./spoke": "src/spoke.ts",
};

/** The name of an entry's files in dist/. */
export const fileOf = (path) => (path === "." ? "index" : path.slice(2));

/** The `exports` of package.json. */
export const exportsOf = (table) =>
  Object.fromEntries([
    ...Object.keys(table).map((path) => {
      const file = `./dist/${fileOf(path)}`;
      return [
        path,
        {
          import: { types: `${file}.d.ts`, default: `${file}.js` },
          require: { types: `${file}.d.cts`, default: `${file}.cjs` },
        },
      ];
    }),
    ["./package.json", "./package.json"],
  ]);
