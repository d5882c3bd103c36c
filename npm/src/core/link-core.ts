import { type Core, load } from "./core.js";
import { packed } from "./packed.js";

let core: Core | undefined;

/**
 * The one instance of this copy of the package that decides what links do, made at first use.
 *
 * @throws PubSubError `no_wasm` where the runtime has no WebAssembly, or the page's policy forbids it.
 */
export function theCore(): Core {
  core ??= load(packed);
  return core;
}
