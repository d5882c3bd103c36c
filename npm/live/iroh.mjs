// A hub that listens over iroh alone, and what finds it through a relay: pages, and every runtime.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const TARGET = "message.sent";

/** The cases, by what run.mjs has: programs, pages, the laws' judge. */
export function irohCases({ start, startRelay, open, hasState, hasEvent, judge, lawsIn, runtimes }) {
  async function relayed() {
    const relay = await startRelay();
    const keys = mkdtempSync(join(tmpdir(), "pubsub-keys-"));
    const key = join(keys, "hub.key");
    const startHub = async (...more) => {
      const options = ["--no-websocket", "--iroh", "--iroh-key", key, "--iroh-relay", relay.url];
      const who = more.length ? more : ["--insecure"];
      // No path but the relay.
      const hub = start("hub", ...options, "--iroh-port", "none", ...who);
      const [ticket] = (await hub.line()).match(/iroh:\S+/);
      return { ...hub, ticket };
    };
    const page = (hub, as, { policy = "strict", at = relay.url } = {}) =>
      open(
        `${policy}/iroh.html?as=${as}&hub=${encodeURIComponent(hub.ticket)}&relay=${encodeURIComponent(at)}`,
      );
    return { relay, startHub, page, dispose: () => rmSync(keys, { recursive: true }) };
  }
  const stateOf = (page) => page.textContent("#state");
  const publish = async (hub, text) => {
    const pub = start("pub", hub.ticket, TARGET, "lobby", JSON.stringify({ text }));
    assert.deepEqual(await once(pub.child, "exit"), [0, null]);
  };
  const ends = async (hub, signal) => {
    const ended = once(hub.child, "exit");
    hub.child.kill(signal);
    await ended;
  };

  const cases = {
    async "a page over iroh"() {
      const { startHub, page, dispose } = await relayed();
      const hub = await startHub();
      // A ticket will do.
      const tab = await page(hub, "target", { policy: "exact", at: "" });
      await hasState(tab.page, "confirmed");
      await publish(hub, "from the program: é €");
      await hasEvent(tab.page, "from the program: é €");

      // Again and again, as nobody knows when the program has subscribed.
      const heard = start("sub", hub.ticket, TARGET, "lobby").line();
      let line;
      for (let n = 0; line === undefined; n++) {
        await tab.page.fill("#text", `from a page: ü ${n}`);
        await tab.page.click("button");
        line = await Promise.race([heard, new Promise((resolve) => setTimeout(resolve, 200))]);
      }
      assert.match(JSON.parse(line).payload.text, /^from a page: ü \d+$/);

      await ends(hub, "SIGTERM");
      await hasState(tab.page, "closed");
      assert.match(await stateOf(tab.page), /^1001: /);
      await hasEvent(tab.page, "ended: closed");
      assert.deepEqual(tab.errors, []);
      await tab.page.close();
      dispose();
    },

    async "a page over iroh, whose hub and relay die"() {
      const { relay, startHub, page, dispose } = await relayed();
      let hub = await startHub();
      const at = "";
      const [target, spoke] = [await page(hub, "target"), await page(hub, "spoke", { at })];
      for (const tab of [target, spoke]) await hasState(tab.page, "confirmed");

      await ends(hub, "SIGKILL");
      await hasState(target.page, "closed");
      assert.match(await stateOf(target.page), /^1006: /);
      hub = await startHub();
      await hasEvent(spoke.page, "a gap");
      await publish(hub, "from the program, again");
      await hasEvent(spoke.page, "from the program, again");

      await relay.stop();
      await spoke.page.waitForSelector('#state:not([data-state="confirmed"], [data-state="connected"])');
      await relay.startAgain();
      await spoke.page.locator("#events li", { hasText: "a gap" }).nth(1).waitFor();
      await publish(hub, "by the relay's successor");
      await hasEvent(spoke.page, "by the relay's successor");
      for (const tab of [target, spoke]) await tab.page.close();
      dispose();
    },

    async "a page over iroh that a hub does not know"() {
      const { startHub, page, dispose } = await relayed();
      const hub = await startHub("--iroh-allow", "0".repeat(64));
      for (const as of ["target", "spoke"]) {
        const tab = await page(hub, as);
        await hasState(tab.page, "closed");
        assert.match(await stateOf(tab.page), /^1008: this endpoint id is not allowed here/, as);
        await tab.page.close();
      }
      dispose();
    },

    async "a policy that forbids iroh"() {
      const { startHub, page, dispose } = await relayed();
      const tab = await page(await startHub(), "target", { policy: "stricter" });
      await hasState(tab.page, "failed");
      assert.match(await stateOf(tab.page), /^PubSubError no_wasm: .*'wasm-unsafe-eval'/);
      await tab.page.close();
      dispose();
    },

    async "laws over iroh in a page"() {
      const { startHub, page, dispose } = await relayed();
      const tab = await page(await startHub(), "laws");
      await tab.page.waitForSelector("#done");
      judge(await tab.page.textContent("#done"));
      assert.deepEqual(tab.errors, []);
      await tab.page.close();
      dispose();
    },
  };
  for (const [name, command] of Object.entries(runtimes)) {
    cases[`laws over iroh in ${name}`] = async () => {
      const { relay, startHub, dispose } = await relayed();
      await lawsIn(command, (await startHub()).ticket, relay.url);
      dispose();
    };
  }
  return cases;
}
