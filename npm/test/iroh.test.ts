import { inspect } from "node:util";
import { afterEach, describe, expect, test, vi } from "vitest";
import { createPubSub, PubSubError } from "../src/index.js";
import { createEndpoint } from "../src/iroh/endpoint.js";
import { OVER, REFUSED, SAID } from "../src/iroh/module.js";
import { createSocket } from "../src/iroh/socket.js";
import { createIrohEndpoint } from "../src/iroh/spoke-node.js";
import { createIrohSpokeEventTarget } from "../src/iroh/target.js";
import { patient } from "../src/iroh/web-socket.js";
import { createSpoke } from "../src/spoke.js";
import { WiredStream } from "./conformance/wired-stream.js";
import { asks } from "./memory-socket.js";

const [LOST, BY_CODE] = [0, 3];
const turns = () => new Promise((resolve) => setTimeout(resolve, 5));
interface Told {
  readonly type: string;
  readonly code?: number;
  readonly reason?: string;
  readonly message?: string;
  readonly data: Uint8Array;
}
const told = ({ type, code, reason, message, data }: Told) =>
  type === "message"
    ? new TextDecoder().decode(data)
    : [type, ...[code, reason, message].filter((part) => part !== undefined)];

/** A stream, the socket on it, and what that tells. */
function made(connect = (stream: WiredStream) => Promise.resolve(stream)) {
  const wire = {
    heard: [] as unknown[],
    end: undefined as number | undefined | null,
  };
  const stream = new WiredStream({
    heard: (text) => wire.heard.push(text),
    ended(code) {
      if (wire.end === undefined) wire.end = code ?? null;
    },
  });
  const socket = createSocket(connect(stream));
  const events: unknown[] = [];
  for (const name of ["open", "message", "error", "close"]) {
    socket.addEventListener(name as never, ((event: Told) => events.push(told(event))) as never);
  }
  return { stream, socket, events, wire };
}
async function opened() {
  const all = made();
  await turns();
  expect(all.events.splice(0)).toEqual([["open"]]);
  return all;
}

afterEach(() => {
  vi.useRealTimers();
});

describe("a socket on a stream", () => {
  test("messages come and go in order, and those of one turn go as one", async () => {
    const { stream, socket, events, wire } = made();
    expect(() => socket.send("too early")).toThrow(
      new PubSubError("not_open", "the connection is not open yet"),
    );
    await turns();
    const write = vi.spyOn(stream, "write");
    for (const text of ["one", "two", "é"]) socket.send(text);
    expect(socket.bufferedAmount).toBe(7);
    await turns();
    expect(socket.bufferedAmount).toBe(0);
    socket.send("four");
    await turns();
    expect(write.mock.calls).toEqual([[["one", "two", "é"]], [["four"]]]);
    expect(wire.heard).toEqual(["one", "two", "é", "four"]);
    for (const text of ["eins", "zwei"]) stream.says(text);
    await turns();
    expect(events).toEqual([["open"], "eins", "zwei"]);
  });

  test("a close says its code behind what waits, and is over when it is answered", async () => {
    const { stream, socket, events, wire } = await opened();
    stream.stall();
    socket.send("the last");
    socket.close(4001, "enough");
    socket.send("never");
    await turns();
    expect([socket.readyState, wire.heard, wire.end, events]).toEqual([2, [], undefined, []]);
    stream.goesOn();
    await turns();
    expect([socket.readyState, wire.heard, wire.end]).toEqual([3, ["the last"], 4001]);
    expect([events, stream.freed]).toEqual([[["close", 4001, ""]], 1]);
    socket.close();
    expect(stream.freed).toBe(1);
  });

  test("what comes before the answer is heard, and the end of the far side's half is one", async () => {
    const { stream, socket, events } = await opened();
    vi.useFakeTimers();
    stream.answers = false;
    socket.close();
    stream.says("before");
    await vi.advanceTimersByTimeAsync(5);
    expect(events).toEqual(["before"]);
    stream.cut([OVER, 0, ""]);
    await vi.advanceTimersByTimeAsync(5);
    expect([events, stream.freed, vi.getTimerCount()]).toEqual([["before", ["close", 1000, ""]], 1, 0]);
  });

  test("a far side that does not answer is not waited for longer than 2 s", async () => {
    const { stream, socket, events, wire } = await opened();
    vi.useFakeTimers();
    stream.answers = false;
    socket.close(1000);
    await vi.advanceTimersByTimeAsync(1999);
    expect(events).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(events).toEqual([["close", 1006, "the far side did not answer the close in time"]]);
    expect([wire.end, stream.freed]).toEqual([1000, 1]);
  });

  test("nor one that takes nothing", async () => {
    const { stream, socket, events } = await opened();
    vi.useFakeTimers();
    stream.stall();
    socket.send("never");
    socket.close(1000);
    await vi.advanceTimersByTimeAsync(2001);
    expect([events.length, stream.freed]).toEqual([1, 1]);
  });

  test.each([
    ["its last word, which is answered", [SAID, 1001, "bye"], ["close", 1001, "bye"], 1001],
    ["the connection's own code", [BY_CODE, 1008, "no"], ["close", 1008, "no"], 1008],
    ["what is no frame, and is told so", [REFUSED, 1009, "long"], ["close", 1009, "long"], 1009],
    ["the loss of it", [LOST, 0, "timed out"], ["close", 1006, "timed out"], 1006],
    ["the end of its half without a word", [OVER, 0, "over"], ["close", 1006, "over"], 1006],
  ] as const)("the far side ends it by %s", async (_, end, event, code) => {
    const { stream, socket, events } = await opened();
    const finish = vi.spyOn(stream, "finish");
    const close = vi.spyOn(stream, "close");
    stream.cut([...end]);
    await turns();
    expect([events, socket.readyState, stream.freed]).toEqual([[event], 3, 1]);
    const words = { [SAID]: [[1001, ""]], [REFUSED]: [[1009, "long"]] }[end[0] as number] ?? [];
    expect(finish.mock.calls).toEqual(words);
    expect(close.mock.calls).toEqual([[code, ""]]);
  });

  test("its last word is answered before the connection is closed, if that takes no longer than 2 s", async () => {
    const { stream, events } = await opened();
    vi.useFakeTimers();
    const close = vi.spyOn(stream, "close");
    stream.stall();
    stream.says({ code: 1001 });
    await vi.advanceTimersByTimeAsync(1999);
    expect([events.length, close.mock.calls.length, stream.freed]).toEqual([1, 0, 0]);
    await vi.advanceTimersByTimeAsync(2);
    expect([close.mock.calls.length, stream.freed, vi.getTimerCount()]).toEqual([1, 1, 0]);
  });

  test("a close for a far side that is gone says nothing to it", async () => {
    const { stream, socket, events, wire } = await opened();
    const finish = vi.spyOn(stream, "finish");
    socket.close(1006, "no answer");
    expect(events).toEqual([["close", 1006, "no answer"]]);
    await turns();
    expect([finish.mock.calls.length, wire.end, stream.freed]).toEqual([0, 1006, 1]);
  });

  test("where writing fails, what the far side has said is heard", async () => {
    const { stream, socket, events } = await opened();
    vi.spyOn(stream, "write").mockRejectedValue(new Error("stopped"));
    socket.send("never");
    await turns();
    expect([socket.readyState, events]).toEqual([2, []]);
    stream.cut([SAID, 1013, "too slow"]);
    await turns();
    expect(events).toEqual([["close", 1013, "too slow"]]);
  });

  test("and where it has said nothing, it is over in 2 s", async () => {
    const { stream, socket, events } = await opened();
    vi.useFakeTimers();
    vi.spyOn(stream, "write").mockRejectedValue(new Error("stopped"));
    socket.send("never");
    await vi.advanceTimersByTimeAsync(2000);
    expect([events, stream.freed]).toEqual([[["close", 1006, "Error: stopped"]], 1]);
  });

  test("one that does not come about fails with the reason", async () => {
    const { events, socket } = made(() => Promise.reject(new Error("cannot reach it")));
    await turns();
    expect(events).toEqual([
      ["error", "cannot reach it"],
      ["close", 1006, "cannot reach it"],
    ]);
    expect(socket.readyState).toBe(3);
  });

  test("one that is closed before it is open lets go of the stream when it comes", async () => {
    let come: () => void = () => undefined;
    const { stream, socket, events, wire } = made(
      (stream) =>
        new Promise((resolve) => {
          come = () => resolve(stream);
        }),
    );
    socket.close();
    expect(events).toEqual([["close", 1006, "closed before it was open"]]);
    come();
    await turns();
    expect([wire.end, stream.freed, events.length]).toEqual([1000, 1, 1]);
  });

  test("there are no codes but those of connections", () => {
    const { socket } = made();
    for (const code of [0, 999, 5000, Number.NaN]) expect(() => socket.close(code)).toThrow(RangeError);
  });
});

describe("a target", () => {
  const through = (socket: ReturnType<typeof createSocket>) =>
    createIrohSpokeEventTarget<{ tick: unknown }>({
      endpoint: { connect: () => socket },
      hubNodeId: "the hub",
    });

  test("pings first, then asks; and every 20 s, and gives up a hub that answers no more", async () => {
    vi.useFakeTimers();
    const { stream, socket, wire } = made();
    const target = await through(socket);
    const ends: unknown[] = [];
    target.addEventListener("close", ({ detail }) => ends.push(detail));
    target.addEventListener("tick:", () => {});
    await vi.advanceTimersByTimeAsync(1);
    const sent = () => wire.heard.splice(0).map((text) => JSON.parse(text as string));
    const ping = (n: number) => ({ type: "__ping", id: "", payload: { n } });
    expect(sent()).toEqual([ping(1), asks("tick:")]);
    const pong = (n: number) =>
      JSON.stringify({ type: "__pong", id: "", payload: { echo: { n }, protocol: 1, features: [] } });
    stream.says(pong(1));
    await vi.advanceTimersByTimeAsync(20_000);
    expect(sent()).toEqual([ping(2)]);
    await vi.advanceTimersByTimeAsync(9000);
    expect(ends).toEqual([{ code: 1006, reason: "the far side answers no ping" }]);
    expect(wire.end).toBe(1006);
  });

  test("close says 1000 and is heard by nobody but the hub", async () => {
    const { stream, socket, wire } = made();
    const target = await through(socket);
    target.close();
    await turns();
    expect([wire.end, stream.freed]).toEqual([1000, 1]);
  });

  test("a hub that refuses tells its code, also to who listens late", async () => {
    const { stream, socket } = made();
    stream.cut([BY_CODE, 1008, "not allowed"]);
    const target = await through(socket);
    await turns();
    const ends: unknown[] = [];
    target.addEventListener("close", ({ detail }) => ends.push(detail));
    await turns();
    expect(ends).toEqual([{ code: 1008, reason: "not allowed" }]);
  });

  test("where no hub is reached, there is none", async () => {
    const { socket } = made(() => Promise.reject(new Error("cannot reach it")));
    await expect(through(socket)).rejects.toEqual(new PubSubError("unreachable", "cannot reach it"));
  });

  test("readers have their turn when many messages come as one", async () => {
    const { stream, socket } = made();
    const eventTarget = await through(socket);
    const events = createPubSub<{ tick: unknown }>({ eventTarget }).subscribe("tick", "");
    const first = events.next();
    const many = Array.from({ length: 5000 }, (_, n) => JSON.stringify({ type: "tick", id: "", payload: n }));
    for (const text of many) stream.says(text);
    expect((await first).value).toMatchObject({ payload: 0 });
    for (let n = 1; n < many.length; n++) expect((await events.next()).value).toMatchObject({ payload: n });
    expect(events.stats()).toMatchObject({ delivered: 5000, lost: 0 });
  });
});

test("a spoke takes such sockets, and ends with a hub that refuses it", async () => {
  const states: string[] = [];
  let attempts = 0;
  createSpoke(
    () => {
      const { socket, stream } = made((stream) =>
        attempts++ ? Promise.resolve(stream) : Promise.reject(new Error("cannot reach it")),
      );
      stream.cut([BY_CODE, 1008, "not allowed"]);
      return socket;
    },
    { backoff: { first: 1, max: 1 }, onState: ({ status }) => states.push(status) },
  );
  await vi.waitFor(() => expect(states.at(-1)).toBe("closed"));
  expect(states).toEqual(["connecting", "waiting", "connecting", "connected", "closed"]);
});

test("messages wait until somebody listens, in order", async () => {
  class Socket extends EventTarget {
    binaryType = "blob";
    onmessage: ((event: MessageEvent) => void) | null = null;
  }
  const socket = new (patient(Socket as never) as unknown as new () => Socket)();
  const tells = (data: number) => socket.dispatchEvent(new MessageEvent("message", { data }));
  expect(socket.binaryType).toBe("arraybuffer");
  for (const n of [1, 2]) tells(n);
  const heard: number[] = [];
  socket.onmessage = ({ data }) => heard.push(data);
  tells(3);
  expect(heard).toEqual([]);
  await turns();
  tells(4);
  socket.onmessage = null;
  tells(5);
  expect(heard).toEqual([1, 2, 3, 4]);
});

describe("an endpoint", () => {
  const relay = "http://127.0.0.1:1/";
  const WebSocket = class {} as never;

  test("says what is wrong with what it is given", async () => {
    const wrong = (options: object) => createIrohEndpoint({ relay, WebSocket, ...options });
    await expect(wrong({ relay: "no URL" })).rejects.toThrow(TypeError);
    await expect(wrong({ secretKey: new Uint8Array(31) })).rejects.toThrow(
      new RangeError("a secret key has 32 bytes, not 31"),
    );
    vi.stubGlobal("WebSocket", undefined);
    await expect(wrong({ WebSocket: undefined })).rejects.toMatchObject({ code: "no_websocket" });
    vi.stubGlobal("crypto", undefined);
    await expect(wrong({})).rejects.toMatchObject({
      code: "no_wasm",
      message: expect.stringContaining("`crypto`"),
    });
    vi.unstubAllGlobals();
  });

  test("is not made without the module's file; the next to ask tries again", async () => {
    const missing = createEndpoint({ relay, WebSocket }, () => Promise.reject(new Error("404")));
    await expect(missing).rejects.toMatchObject({
      code: "no_wasm",
      message: expect.stringMatching(/`iroh.wasm`.*'wasm-unsafe-eval'.*: Error: 404$/),
    });
    await expect(createIrohEndpoint({ relay, WebSocket, wasm: new Uint8Array(8) })).rejects.toMatchObject({
      code: "no_wasm",
    });
    const endpoint = await createIrohEndpoint({ relay, WebSocket });
    expect(endpoint.id).toMatch(/^[0-9a-f]{64}$/);
    await endpoint.close();
  });

  test("is the same with the same key, closes once, and connects to nobody afterwards", async () => {
    const secretKey = new Uint8Array(32).fill(7);
    const [one, two] = await Promise.all(
      [1, 2].map(() => createIrohEndpoint({ relay: [relay], secretKey, WebSocket })),
    );
    expect([one?.id, one?.secretKey]).toEqual([two?.id, secretKey]);
    expect(inspect(one) + JSON.stringify(one)).not.toContain("7, 7");
    await Promise.all([one?.close(), one?.close(), two?.close()]);
    if (!one) throw new Error("there are two");
    const connect = (hubNodeId: string, options = {}) =>
      createIrohSpokeEventTarget({ endpoint: one, hubNodeId, ...options });
    for (const wrong of [{ maxMessage: -1 }, { maxDepth: -1 }, { connectTimeout: "soon" }]) {
      await expect(connect("nonsense", wrong)).rejects.toThrow(RangeError);
    }
    await expect(connect("nonsense")).rejects.toThrow("this is neither an id nor a ticket of iroh's");
    await expect(connect("1".repeat(64))).rejects.toMatchObject({ code: "unreachable" });
    const alone = await createIrohEndpoint({ WebSocket });
    await expect(
      createIrohSpokeEventTarget({ endpoint: alone, hubNodeId: "1".repeat(64) }),
    ).rejects.toMatchObject({ code: "unreachable", message: expect.stringMatching(/^no relay is known/) });
    await alone.close();
  });
});
