import type { Packed } from "../src/core/unpack.js";

export declare function pack(bytes: Uint8Array): Packed;
