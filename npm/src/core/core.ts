// The core: a WebAssembly module that decides what links do. It imports nothing, so that it never calls back.
import { PubSubError } from "../errors.js";
import { type Packed, unpack } from "./unpack.js";

/** What every module exports. */
interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  scratch(bytes: number): number;
  words(): number;
}

/** What that of links exports; `crates/alkpubsub-wasm/src/exports.rs` says what each does. */
export interface LinkExports extends Exports {
  link_new(
    forward: number,
    kind: number,
    maxMessage: number,
    maxDepth: number,
    maxTopic: number,
    maxQueued: number,
    maxQueuedBytes: number,
    answerTimeout: number,
    pingInterval: number,
    pingTimeout: number,
  ): number;
  link_free(link: number): void;
  link_connected(link: number, now: number): number;
  link_disconnected(link: number, keepEvents: number): void;
  link_want(link: number, length: number, now: number): number;
  link_unwant(link: number, length: number): number;
  link_readiness(link: number, length: number): number;
  link_receive(link: number, length: number): number;
  link_refused(link: number, now: number): number;
  link_admit(link: number, length: number, isOurs: number): number;
  link_send(link: number, weight: number): number;
  link_pop(link: number): number;
  link_refill(link: number, now: number): number;
  link_ping(link: number): number;
  link_ponged(link: number, ping: number): number;
  link_timeout(link: number): number;
  link_handle_timeout(link: number, now: number): number;
  stops(code: number): number;
  link_set_backoff(link: number, first: number, max: number, later: number, stableAfter: number): void;
  link_wait(link: number, code: number, lived: number, random: number): number;
}

/** What that of hubs exports, too, for a broker; `crates/alkpubsub-wasm/src/exports/broker.rs` says what each does. */
export interface BrokerExports extends LinkExports {
  broker_asked(length: number): number;
  broker_answer(length: number, refused: number): number;
  broker_admits(topic: number, length: number): number;
}

/** What that of hubs exports; `crates/alkpubsub-wasm/src/exports/hub.rs` says what each does. */
export interface HubExports extends Exports {
  hub_new(
    fanOut: number,
    identities: number,
    asks: number,
    maxMessage: number,
    maxDepth: number,
    maxTopic: number,
    maxTopicsPerLink: number,
    maxLinks: number,
  ): number;
  hub_free(hub: number): void;
  hub_connect(hub: number, hasIdentity: number, length: number): number;
  hub_disconnect(hub: number, slot: number): void;
  hub_listen(hub: number, length: number): number;
  hub_unlisten(hub: number, length: number): void;
  hub_receive(hub: number, slot: number, length: number): number;
  hub_refused(hub: number, slot: number, now: number): number;
  hub_subscribe(hub: number, slot: number, length: number): void;
  hub_deny(hub: number, slot: number, length: number, isSubscription: number): void;
  hub_admit(hub: number, length: number, isOurs: number): number;
  hub_fan_out(hub: number, length: number): number;
  hub_gap(hub: number, length: number, isNamed: number, missed: number): void;
  hub_drain(hub: number): void;
  hub_take_dirty(hub: number): number;
  hub_pop(hub: number, slot: number): number;
  hub_count(hub: number): void;
  hub_counters(): void;
}

/** What a call of the core gives where there is no room for one more. Results are signed, */
export const NO_ROOM = -1;
/** and words are not: a number that is not known. */
export const UNKNOWN = 0xffffffff;

/** The module's instance, and how text and numbers cross. */
export interface Core<TExports = LinkExports> {
  readonly call: TExports;
  /** Writes text where the next call reads it. Gives its length in bytes, or one beyond any limit where it is longer. */
  put(text: string, most: number): number;
  /** The same for bytes. */
  putBytes(bytes: Uint8Array, most: number): number;
  /** The numbers that the last call gave beside its result; the next call overwrites them. */
  words(): Uint32Array;
  /** The text that the last call gave. */
  text(): string;
  /** The list of numbers that the last call gave. */
  numbers(): number[];
  /** From one byte to another of what was put last, as text. */
  slice(from: number, to: number): string;
}

/** The scratch memory at first, and again after it was longer. */
const SCRATCH = 16_384;
/** No scratch memory is as long. */
const TOO_LONG = 0x7fffffff;

interface WebAssemblyLike {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object) => { readonly exports: unknown };
}

/**
 * An instance of a module.
 *
 * @throws PubSubError `no_wasm` where the runtime has no WebAssembly, or the page's policy forbids it.
 */
export function load<TExports extends Exports>(packed: Packed): Core<TExports> {
  const { WebAssembly } = globalThis as { WebAssembly?: WebAssemblyLike };
  if (!WebAssembly)
    throw new PubSubError(
      "no_wasm",
      "this runtime has no WebAssembly, which event targets with a far side need",
    );
  let call: TExports;
  try {
    call = new WebAssembly.Instance(new WebAssembly.Module(unpack(packed))).exports as TExports;
  } catch (error) {
    const message =
      "WebAssembly could not be compiled; a Content-Security-Policy has to allow it with script-src 'wasm-unsafe-eval'";
    throw Object.assign(new PubSubError("no_wasm", `${message}: ${error}`), { cause: error });
  }
  const encoder = new TextEncoder();
  const decoder = new TextDecoder();
  let at = 0;
  let input = new Uint8Array(0);
  let words = new Uint32Array(0);
  let memory = words;
  let wanted = 0;

  // Its memory moves to another buffer when it grows; what looked at the old one has length 0 then.
  const look = () => {
    memory = new Uint32Array(call.memory.buffer);
    words = new Uint32Array(call.memory.buffer, call.words(), 8);
    input = new Uint8Array(call.memory.buffer, at, wanted);
  };
  const room = (bytes: number) => {
    wanted = bytes;
    at = call.scratch(bytes);
    look();
  };
  room(SCRATCH);

  return {
    call,
    put(text, most) {
      if (text.length > most) return TOO_LONG;
      if (!input.length) look();
      if (wanted > SCRATCH && text.length < SCRATCH / 4) room(SCRATCH);
      let { read, written } = encoder.encodeInto(text, input);
      if (read < text.length) {
        room(text.length * 3);
        ({ read, written } = encoder.encodeInto(text, input));
      }
      return written;
    },
    putBytes(bytes, most) {
      if (bytes.length > most) return TOO_LONG;
      if (!input.length) look();
      if (bytes.length > wanted) room(bytes.length);
      input.set(bytes);
      return bytes.length;
    },
    words() {
      if (!words.length) look();
      return words;
    },
    text() {
      if (!words.length) look();
      return decoder.decode(new Uint8Array(call.memory.buffer, words[0], words[1]));
    },
    numbers() {
      if (!words.length) look();
      // By their places: a typed array is copied by its iterator, which is slow.
      const from = (words[0] as number) / 4;
      const all: number[] = [];
      for (let at = 0; at < (words[1] as number); at++) all.push(memory[from + at] as number);
      return all;
    },
    slice(from, to) {
      if (!input.length) look();
      return decoder.decode(input.subarray(from, to));
    },
  };
}
