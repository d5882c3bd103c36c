import fc from "fast-check";
import { expect, test } from "vitest";
import { pack } from "../scripts/pack.mjs";
import { packed as links } from "../src/core/packed.js";
import { packed as hubs } from "../src/core/packed-hub.js";
import { unpack } from "../src/core/unpack.js";

test("what is packed is unpacked, whatever the bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2000 }), (bytes) => {
      expect(unpack(pack(bytes))).toEqual(bytes);
    }),
  );
  const every = Uint8Array.from({ length: 512 }, (_, at) => at);
  expect(unpack(pack(every))).toEqual(every);
});

test("the text needs no escape in any quotes, and ends no script", () => {
  const { text } = pack(Uint8Array.from({ length: 256 }, (_, at) => at));
  expect(text).toMatch(/^[ -~]+$/);
  expect(text).not.toMatch(/["'`\\$<]/);
});

test("the modules import nothing", () => {
  for (const packed of [links, hubs]) {
    const module = new WebAssembly.Module(unpack(packed) as Uint8Array<ArrayBuffer>);
    expect(WebAssembly.Module.imports(module)).toEqual([]);
  }
});
