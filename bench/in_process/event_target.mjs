// Node's EventTarget, measured when asked: a line in is `listeners milliseconds`, a line out the nanoseconds of one
// dispatch, over about so long.
import { setMaxListeners } from "node:events";
import { createInterface } from "node:readline";

const payload = { text: "hello", from: "me" };
const targets = new Map();
let calls = 0;

function targetWith(listeners) {
  const target = new EventTarget();
  setMaxListeners(0, target);
  for (let room = 0; room < 1000; room++) {
    const count = room === 500 ? listeners : 1;
    // One closure each, as in a program.
    for (let n = 0; n < count; n++) {
      target.addEventListener(`chat.message:room-${room}`, () => { calls++; });
    }
  }
  return target;
}

function dispatch(target, times) {
  for (let n = 0; n < times; n++) {
    target.dispatchEvent(new CustomEvent("chat.message:room-500", { detail: payload }));
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const [listeners, milliseconds] = line.split(" ").map(Number);
  if (!targets.has(listeners)) targets.set(listeners, targetWith(listeners));
  const target = targets.get(listeners);
  const before = calls, begun = process.hrtime.bigint();
  let times = 0, passed = 0;
  while (passed < milliseconds * 1e6) {
    dispatch(target, 1000);
    times += 1000;
    passed = Number(process.hrtime.bigint() - begun);
  }
  if (calls - before !== times * listeners) throw new Error("a listener was not called");
  console.log(passed / times);
}
