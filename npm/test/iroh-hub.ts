import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { program } from "./hub.js";

/** A hub that is found over iroh alone, and the relay by which it is. */
export interface IrohHub {
  readonly ticket: string;
  readonly relay: string;
  stop(): Promise<void>;
}

/** Starts a program; gives the part of its first line that matches. */
async function start(file: string, args: string[], pattern: RegExp): Promise<[ChildProcess, string]> {
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "pipe"] });
  let said = "";
  child.stderr.on("data", (text) => {
    said += text;
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const [found] = line.match(pattern) ?? [];
    if (found !== undefined) return [child, found];
  }
  throw new Error(`${file} did not start: ${said}`);
}

/** Starts both. */
export async function startIrohHub(): Promise<IrohHub> {
  const [relayProgram, relay] = await start(join(dirname(program), "alkpubsub-test-relay"), [], /http:\S+/);
  const options = ["--no-websocket", "--iroh", "--iroh-port", "none", "--iroh-relay", relay, "--insecure"];
  const [hub, ticket] = await start(program, ["hub", ...options], /iroh:\S+/);
  return {
    ticket,
    relay,
    async stop() {
      for (const child of [hub, relayProgram]) {
        const ended = once(child, "exit");
        child.kill("SIGKILL");
        await ended;
      }
    },
  };
}
