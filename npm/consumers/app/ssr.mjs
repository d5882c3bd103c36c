// A server that renders and only imports: the module must not need, read or write a global while it loads.
const names = [
  "CustomEvent",
  "EventTarget",
  "Event",
  "AbortController",
  "AbortSignal",
  "window",
  "document",
  "self",
  "navigator",
  "WebSocket",
  "Worker",
  "setTimeout",
  "setInterval",
  "queueMicrotask",
  "postMessage",
  "BroadcastChannel",
  "WebAssembly",
  "fetch",
];
const read = [];
for (const name of names) {
  Object.defineProperty(globalThis, name, {
    configurable: true,
    get() {
      // Node's own loader reads some of them; only the package's reading counts.
      const stack = new Error().stack;
      if (/pubsub|repeater/.test(stack.split("\n").slice(2).join("\n"))) read.push(name);
      return undefined;
    },
  });
}
const before = Reflect.ownKeys(globalThis).map(String);
const { createPubSub } = await import("@alkdev/pubsub");
const targets = ["iroh-spoke", "websocket-client", "worker"].map((name) => `event-target-${name}`);
for (const entry of ["conformance", ...targets, "spoke"]) await import(`@alkdev/pubsub/${entry}`);
const added = Reflect.ownKeys(globalThis)
  .map(String)
  .filter((name) => !before.includes(name));
console.log(
  `${typeof createPubSub}; globals read while loading: ${read.join(" ") || "none"}; added: ${added.join(" ") || "none"}`,
);
