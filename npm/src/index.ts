export * from "./repeater.js";
