// A thread between two ends: what comes at one side goes out at the other.
import { parentPort, workerData } from "node:worker_threads";

const { port } = workerData;
parentPort.on("message", (message) => port.postMessage(message));
port.on("message", (message) => parentPort.postMessage(message));
