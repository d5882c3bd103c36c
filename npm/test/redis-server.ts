import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { createInterface } from "node:readline";

/** A redis-server of one's own. */
export interface RedisServer {
  readonly port: number;
  /** Kills it, without a word to anybody. */
  kill(): Promise<void>;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** Starts one that writes nothing to a disk, on a free port or the one that is given. */
export async function startRedis(port?: number): Promise<RedisServer> {
  for (let attempt = 0; ; attempt++) {
    const on = port ?? (await freePort());
    const args = [
      "--port",
      String(on),
      "--bind",
      "127.0.0.1",
      "--save",
      "",
      "--appendonly",
      "no",
      "--dir",
      "/tmp",
    ];
    const child: ChildProcess = spawn("redis-server", args, { stdio: ["ignore", "pipe", "inherit"] });
    let said = "";
    child.on("error", (error) => {
      said += error;
    });
    const exit = new Promise<void>((resolve) => child.once("close", () => resolve()));
    for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
      said += `${line}\n`;
      if (!line.includes("Ready to accept connections")) continue;
      child.stdout?.resume();
      return {
        port: on,
        async kill() {
          child.kill("SIGKILL");
          await exit;
        },
      };
    }
    // Somebody else may have taken the port meanwhile.
    if (attempt === 5) throw new Error(`redis-server did not start: ${said}`);
  }
}
