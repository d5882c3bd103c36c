// The hub program, for tests: that of ALKPUBSUB_PROGRAM, else of ../target/debug.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";

const program =
  process.env.ALKPUBSUB_PROGRAM ?? fileURLToPath(new URL("../../target/debug/alkpubsub", import.meta.url));

/** The program under way: its lines, and its end. */
export interface Running {
  readonly child: ChildProcess;
  readonly lines: AsyncIterableIterator<string>;
  /** What it ends with. */
  readonly exit: Promise<number | null>;
  /** Ends it; resolves when it has ended. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Starts `alkpubsub` with these arguments. */
export function run(...args: string[]): Running {
  if (!existsSync(program)) {
    throw new Error(`missing: ${program}; build it with \`cargo build\`, or set ALKPUBSUB_PROGRAM`);
  }
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  const exit = new Promise<number | null>((resolve, reject) => {
    child.once("exit", resolve);
    child.once("error", reject);
  });
  const lines: Interface = createInterface({ input: child.stdout });
  const stop = async () => {
    child.kill("SIGKILL");
    await exit;
  };
  return { child, lines: lines[Symbol.asyncIterator](), exit, stop, [Symbol.asyncDispose]: stop };
}

/** Starts a hub on a free port. */
export async function startHub(...args: string[]): Promise<Running & { readonly url: string }> {
  const hub = run("hub", "--listen", "127.0.0.1:0", ...args);
  const { value: line } = await hub.lines.next();
  const url = /ws:\S+/.exec(line ?? "")?.[0];
  if (!url) throw new Error(`the hub did not say where it listens: ${line}`);
  return { ...hub, url };
}
