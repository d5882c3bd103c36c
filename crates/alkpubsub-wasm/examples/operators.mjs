// node operators.mjs operators.wasm: the host of operators.rs, and what it is to hear.
import { deepEqual } from "node:assert/strict";
import { readFile } from "node:fs/promises";

const module = await WebAssembly.compile(await readFile(process.argv[2]));
deepEqual(WebAssembly.Module.imports(module), []);
const { start, publish, tick, close } = (await WebAssembly.instantiate(module)).exports;

start();
deepEqual(tick(0), -2); // asked, nothing there
deepEqual(tick(1), -1); // nobody was woken
for (const number of [1, 2, 3, 3, 4]) publish(number);
deepEqual(tick(5), -2); // two sums wait for a third, or until 15
deepEqual(tick(14), -2);
deepEqual(tick(15), 2 * 100 + (1 + 3) + (2 + 4));
deepEqual(tick(16), -2);
for (const number of [3, 5, 7, 6, 8, 10, 12]) publish(number); // 3 was there 11 ms ago
deepEqual(tick(16), 3 * 100 + (5 + 7) + (6 + 8) + (10 + 12)); // three
deepEqual(tick(16), -2);
publish(3);
publish(9); // 3 was there 55 ms ago, and is one of a pair again
deepEqual(tick(60), -2);
close();
deepEqual(tick(61), 100 + 3 + 9); // what is held, then the end
deepEqual(tick(61), -3);
console.log("operators: as on other platforms");
