// All entries but that of iroh.

export * as pubsub from "@alkdev/pubsub";
export * as redis from "@alkdev/pubsub/event-target-redis";
export * as client from "@alkdev/pubsub/event-target-websocket-client";
export * as server from "@alkdev/pubsub/event-target-websocket-server";
export * as worker from "@alkdev/pubsub/event-target-worker";
export * as payload from "@alkdev/pubsub/payload-target";
export * as spoke from "@alkdev/pubsub/spoke";
