// A runtime that has no WebAssembly, or compiles none: what is in-process works, links say what is missing.
import * as pubsub from "@alkdev/pubsub";
import * as client from "@alkdev/pubsub/event-target-websocket-client";
import { link, program } from "./program.mjs";

// As in workerd, where only what was deployed is compiled.
if (process.argv.includes("refused")) {
  WebAssembly.Module = class {
    constructor() {
      throw new WebAssembly.CompileError("Wasm code generation disallowed by embedder");
    }
  };
}
await program(pubsub);
await link(pubsub, client).catch(({ name, code, message }) => console.log(`${name} ${code}: ${message}`));
