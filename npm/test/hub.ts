import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const program =
  process.env.ALKPUBSUB_PROGRAM ?? fileURLToPath(new URL("../../target/debug/alkpubsub", import.meta.url));

/** The hub program, started. */
export interface HubProgram {
  readonly url: string;
  /** Ends it with a signal, and waits until it has ended. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** The program under way. */
export interface Running {
  readonly lines: AsyncIterableIterator<string>;
  /** What it ends with. */
  readonly exit: Promise<number | null>;
  /** Ends it; resolves when it has ended. */
  stop(): Promise<void>;
}

/** Starts `alkpubsub` with these arguments. */
export function run(...args: string[]): Running {
  if (!existsSync(program)) throw new Error(`${program} is missing: cargo build, or set ALKPUBSUB_PROGRAM`);
  const child: ChildProcess = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  const exit = once(child, "exit").then(([code]) => code as number | null);
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  return {
    lines,
    exit,
    async stop() {
      child.kill("SIGKILL");
      await exit;
    },
  };
}

/** Starts the hub program on a free port, or on the one that is given. */
export async function startHub(port = 0, ...args: string[]): Promise<HubProgram> {
  if (!existsSync(program)) throw new Error(`${program} is missing: cargo build, or set ALKPUBSUB_PROGRAM`);
  const child = spawn(program, ["hub", "--listen", `127.0.0.1:${port}`, ...args]);
  let said = "";
  child.stderr.on("data", (text) => {
    said += text;
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const url = line.match(/ws:\S+/)?.[0];
    if (url === undefined) continue;
    return {
      url,
      async stop(signal = "SIGTERM") {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const ended = once(child, "exit");
        child.kill(signal);
        await ended;
      },
    };
  }
  throw new Error(`the hub did not start: ${said}`);
}
