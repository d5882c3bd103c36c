// Node 18 has no CustomEvent, which tests make to see what becomes of one. The package itself is run there without it
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
