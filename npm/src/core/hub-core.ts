import { type BrokerExports, type Core, type HubExports, load } from "./core.js";
import { packed } from "./packed-hub.js";

let core: Core<HubExports & BrokerExports> | undefined;

/**
 * The one instance of this copy of the package that decides what hubs do, made at first use.
 *
 * @throws PubSubError `no_wasm` where the runtime has no WebAssembly, or the page's policy forbids it.
 */
export function theHubCore(): Core<HubExports & BrokerExports> {
  core ??= load(packed);
  return core;
}
