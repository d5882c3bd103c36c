// A connection over iroh with the face of a WebSocket, so that whatever takes one takes it.
import { PubSubError } from "../errors.js";
import { LightEvent } from "../event.js";
import { CONNECTING, OPEN, type WebSocketLike } from "../link/socket.js";
import { createListeners } from "../listeners.js";
import { OVER, type RawStream, REFUSED, SAID } from "./module.js";

const [CLOSING, CLOSED] = [2, 3];
const BROKEN = 1006;
/** How long last words may take, and their answer, in milliseconds. */
const PATIENCE = 2000;
/** Messages that are told before all else has its turn: fewer than wait for a reader unless it says otherwise. */
const ROUND = 256;

/**
 * The socket of a stream to be: messages come as `message`, and the end as `close` with a code and words, after an `error`
 * if it is one that never came about. A hub that refuses the connection opens it and closes it, so that its code is heard.
 */
export function createSocket(connecting: Promise<RawStream>): WebSocketLike {
  let stream: RawStream | undefined;
  let readyState = CONNECTING;
  let texts: string[] = [];
  let buffered = 0;
  let writing: Promise<void> | undefined;
  /** Our own Close; `heard`: the far side has it. */
  let said: { readonly code: number; readonly reason: string; readonly heard: Promise<void> } | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const listeners = createListeners(undefined);
  /** The events of a WebSocket have their parts beside `type`. */
  const tell = (type: string, parts: object) =>
    listeners.dispatch(Object.assign(new LightEvent(type, undefined), parts), socket);
  const over = (code: number, reason: string) => {
    if (readyState === CLOSED) return;
    readyState = CLOSED;
    texts = [];
    tell("close", { code, reason, wasClean: code !== BROKEN });
  };
  /** The end, unless it comes by itself before. */
  const overSoon = (code: number, why: string) => {
    timer ??= setTimeout(() => {
      over(BROKEN, why);
      stream?.close(code, "");
    }, PATIENCE);
  };

  const write = async () => {
    // What is sent in one turn is written as one.
    await undefined;
    try {
      while (texts.length) {
        const batch = texts;
        texts = [];
        await stream?.write(batch);
        for (const { length } of batch) buffered -= length;
      }
      writing = undefined;
    } catch (error) {
      // What the far side said before that can still be read for a while.
      if (readyState === CLOSED) return;
      readyState = CLOSING;
      overSoon(BROKEN, String(error));
    }
  };
  /** The last word, behind what waits. Resolves when the far side has it, or never will. */
  const say = async (code: number, reason: string) => {
    try {
      await writing;
      await stream?.finish(code, reason);
    } catch {
      // There is nobody to have it.
    }
  };

  const read = async (stream: RawStream) => {
    let told = 0;
    for (let messages = await stream.next(); messages.length; messages = await stream.next()) {
      for (const data of messages) {
        if (readyState !== CLOSED) tell("message", { data });
        // Many come at once, and those who read have their turn between two, as with a WebSocket.
        await (++told % ROUND ? undefined : turn());
      }
    }
    clearTimeout(timer);
    const [kind, code, reason] = stream.end();
    if (kind === OVER && said) over(said.code, said.reason);
    else over(code || BROKEN, reason);
    // It is told why, or answered.
    const heard =
      said?.heard ?? (kind === SAID || kind === REFUSED ? say(code, kind === SAID ? "" : reason) : undefined);
    await within(PATIENCE, heard);
    stream.close(said?.code ?? (code || BROKEN), "");
    // What has not arrived fails now.
    await Promise.all([writing, heard]);
  };
  const run = async () => {
    try {
      stream = await connecting;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (readyState === CONNECTING) tell("error", { error, message });
      return over(BROKEN, message);
    }
    if (readyState === CONNECTING) {
      readyState = OPEN;
      tell("open", {});
      await read(stream);
    } else stream.close(1000, "");
    const ended = stream;
    stream = undefined;
    ended.free();
  };

  const socket = {
    binaryType: "arraybuffer",
    get readyState() {
      return readyState;
    },
    get bufferedAmount() {
      return buffered;
    },
    send(text: string) {
      if (readyState === CONNECTING) throw new PubSubError("not_open", "the connection is not open yet");
      if (readyState !== OPEN) return;
      texts.push(text);
      buffered += text.length;
      writing ??= write();
    },
    close(code = 1000, reason = "") {
      if (!(code >= 1000 && code <= 4999)) throw new RangeError(`a close code is 1000 to 4999, not ${code}`);
      if (readyState === CONNECTING) over(BROKEN, "closed before it was open");
      if (readyState !== OPEN) return;
      readyState = CLOSING;
      if (code === BROKEN) {
        // Nobody is taken to be there who could answer.
        over(code, reason);
        stream?.close(code, "");
      } else {
        said = { code, reason, heard: say(code, reason) };
        overSoon(code, "the far side did not answer the close in time");
      }
    },
    addEventListener: listeners.add as WebSocketLike["addEventListener"],
    removeEventListener: listeners.remove as WebSocketLike["removeEventListener"],
  };
  run().catch((error) => over(BROKEN, String(error)));
  return socket;
}

/** A turn of the event loop. A timer would be put off for long in a page that nobody looks at. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof MessageChannel !== "function") {
      setTimeout(resolve);
      return;
    }
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });
}

/** When it is done, but no later. */
async function within(time: number, done: Promise<void> | undefined): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, time);
  });
  await Promise.race([done, late]);
  clearTimeout(timer);
}
