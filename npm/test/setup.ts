import { webcrypto } from "node:crypto";

// Node 18 has no crypto as a global, from which iroh has its keys.
globalThis.crypto ??= webcrypto as Crypto;

// Nor has it CustomEvent, which tests make to see what becomes of one. The package itself is run there without it
// by the consumers, and by a test that takes it away.
if (typeof CustomEvent === "undefined") {
  class CustomEventOfTests<T> extends Event {
    readonly detail: T | null;
    constructor(type: string, init?: CustomEventInit<T>) {
      super(type, init);
      this.detail = init?.detail ?? null;
    }
  }
  Object.assign(globalThis, { CustomEvent: CustomEventOfTests });
}
