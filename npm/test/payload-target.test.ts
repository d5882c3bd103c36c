import { createPubSub as yoga } from "@graphql-yoga/subscription";
import { expect, test, vi } from "vitest";
import { createInProcessEventTarget, createPubSub, PubSubError } from "../src/index.js";
import { createPayloadEventTarget } from "../src/payload-target.js";

type Events = { "user:follow": [id: string, name: string]; newUser: [name: string] };

for (const [name, make] of [
  ["a target of this package", () => createInProcessEventTarget()],
  ["a plain EventTarget", () => new EventTarget()],
] as const) {
  test(`graphql-yoga's createPubSub on ${name}, beside our own`, async () => {
    const eventTarget = make();
    const theirs = yoga<Events>({ eventTarget: createPayloadEventTarget(eventTarget) });
    const ours = createPubSub<{ user: string; newUser: string }>({ eventTarget });
    const [follows, users] = [theirs.subscribe("user:follow", "1"), theirs.subscribe("newUser")];
    const reads = [follows.next(), users.next()];
    const own = ours.subscribe([
      ["user", "follow:1"],
      ["newUser", ""],
    ]);
    await own.ready;
    theirs.publish("user:follow", "1", "Ada");
    ours.publish("newUser", "", "Grace");
    expect((await Promise.all(reads)).map(({ value }) => value)).toEqual(["Ada", "Grace"]);
    expect((await own.next()).value).toEqual({ type: "user", id: "follow:1", payload: "Ada" });
    expect((await own.next()).value).toEqual({ type: "newUser", id: "", payload: "Grace" });
    await follows.return();
    await users.return();
    own.return();
  });
}

test("a callback counts once, is removed by the name it was added under, and may be an object", () => {
  const inner = createInProcessEventTarget();
  const target = createPayloadEventTarget(inner);
  const seen = vi.fn();
  const object = { handleEvent: (event: Event) => seen(event.type, (event as CustomEvent).detail) };
  for (const name of ["tick", "tick", "tick:1"]) target.addEventListener(name, object);
  expect(target.dispatchEvent(new CustomEvent("tick", { detail: 1 }))).toBe(true);
  target.dispatchEvent(new CustomEvent("tick:1", { detail: undefined }));
  expect(seen.mock.calls).toEqual([
    ["tick", 1],
    ["tick:1", null],
  ]);
  target.removeEventListener("tick", object);
  target.removeEventListener("tick:1", object);
  target.removeEventListener("never", object);
  target.addEventListener("tick", null);
  expect(inner.stats().listeners).toBe(0);
});

test("a name that is no topic is refused", () => {
  const target = createPayloadEventTarget(createInProcessEventTarget());
  for (const name of ["", ":a", "__a"]) {
    expect(() => target.dispatchEvent(new CustomEvent(name, { detail: 1 }))).toThrow(PubSubError);
  }
});
