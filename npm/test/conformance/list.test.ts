// The list of laws is that of the Rust suite, which its own tests write to docs/conformance/laws.txt; and the page
// that tells what runs where is written from here: `UPDATE=1 npx vitest run test/conformance`.
import { readFileSync, writeFileSync } from "node:fs";
import { expect, it } from "vitest";
import { laws, sound, unmet, wrong } from "../../src/conformance/index.js";
import { absent } from "./absent.js";
import { fixtures } from "./fixtures.js";
import { wrongWired } from "./wrong-wired.js";

const docs = new URL("../../../docs/conformance/", import.meta.url);
const rust = readFileSync(new URL("laws.txt", docs), "utf8").trim().split("\n");
const here = laws.map(({ name }) => name);

it("each law of the Rust suite is here, or it is told why not", () => {
  expect(rust.length).toBeGreaterThan(60);
  expect(rust.filter((name) => !here.includes(name) && absent[name] === undefined)).toEqual([]);
});

it("nothing is told of laws that are here, or that there are none of", () => {
  expect(Object.keys(absent).filter((name) => here.includes(name) || !rust.includes(name))).toEqual([]);
});

it("laws of JavaScript's own are cases of laws that both suites have", () => {
  const own = here.filter((name) => !rust.includes(name));
  expect(own.filter((name) => !rust.some((of) => name.startsWith(`${of}_`)))).toEqual([]);
});

it("docs/conformance/npm.md tells of all of it", () => {
  const page = new URL("npm.md", docs);
  const text = write();
  if (process.env.UPDATE) writeFileSync(page, text);
  expect(readFileSync(page, "utf8"), "UPDATE=1 writes it anew").toBe(text);
});

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |\n`;
  return line(header) + line(header.map(() => "---")) + rows.map(line).join("");
}

function write(): string {
  const columns = Object.entries({ ...fixtures, ...sound });
  const ran = laws.map((law) => [
    `${law.number}`,
    law.name,
    rust.includes(law.name) ? "both" : "JavaScript",
    ...columns.map(([, fixture]) => {
      const need = unmet(law, fixture);
      return need === undefined ? "yes" : `n/a: ${need}`;
    }),
  ]);
  const missing = rust.filter((name) => !here.includes(name)).map((name) => [name, absent[name] ?? "?"]);
  return `# The laws in JavaScript

Written and compared by the tests of \`npm/\`; \`UPDATE=1 npx vitest run test/conformance\` there writes it anew. The suite
is the package's entry \`./conformance\`. The list is compared with [that of the Rust suite](laws.txt), whose table is
[beside this](matrix.md).

\`yes\`: the law has a test of that name for that target, and it passes. \`n/a\`: the law asks nothing of the target, for
want of what is named.

A column is a fixture. \`in_process\`: the target of that name. \`event_target\`: the platform's own \`EventTarget\`, with
the package's pubsub on it. \`websocket_client\`, \`spoke\`: two of them at the hub program; \`websocket_server\`: a hub of
ours, and a client of it. \`iroh_spoke\`: two connections of one endpoint to the hub program, through a relay.
\`redis_ioredis\`, \`redis_node\`: two targets at a redis-server, by clients of ioredis and of node-redis.
\`websocket_client_wire\`, \`spoke_wire\`, \`websocket_server_wire\`, \`iroh_spoke_wire\`: a target on a socket, or on a stream of
iroh's, in one memory, whose far side the laws play themselves. \`port\`: both ends of a \`MessageChannel\`; \`worker\`: the host
of a worker, whose thread passes on what comes from another port. \`memory\`, \`memory_link\`: the sound targets beside the
wrong ones below, in one memory: bare, and as two ends of a link that carries JSON text.

What may be wanting: \`Echo\`, a publisher hears its own event; \`Reference\` or \`Json\`, what crosses; \`Reports\`, the fixture
tells what listeners threw; \`Close\`, the target has an end; \`Cut\` and \`Stall\`, the connection can be cut, or its far side stop reading; \`Wire\`, the laws
play the far side, \`FarHub\` as a hub, \`FarSpoke\` as a spoke, \`Near\` with a target at the other end, \`HangUp\` with a Close of a
code; \`Lent\`, the target was given what stays its caller's; \`Stats\`, it has the counters that all share.

${table(["law", "case", "suite", ...columns.map(([name]) => name)], ran)}
## Laws of the Rust suite that are not here

${table(["case", "why"], missing)}
## Wrong targets

Each breaks the contract in one way and dies by the laws named; the tests see to both, and to that each law kills one.

${table(
  ["wrong target", "what it does", "dies by"],
  [...wrong, ...wrongWired].map(({ name, what, killedBy }) => [name, what, killedBy.join(", ")]),
)}`;
}
