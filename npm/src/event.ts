import { now } from "./check.js";
import { checkTopic, PubSubError } from "./errors.js";
import type { EventEnvelope, TypedEvent } from "./types.js";

/**
 * An event of our own: what a listener of a `CustomEvent` expects, where there is none, and for a fraction of its
 * cost. It is made from an envelope that was checked, from a notice, or from an event that was dispatched by hand,
 * its `origin`, whose `preventDefault` it passes on.
 */
export class LightEvent<TType extends string = string, TDetail = unknown>
  implements TypedEvent<TType, TDetail>
{
  readonly type: TType;
  readonly detail: TDetail;
  target: object | null;
  currentTarget: object | null;
  defaultPrevented: boolean;
  /** @internal 1: for later phases; 2: for all who come after. */
  stopped: number;
  /** @internal */
  passive: boolean;
  /** @internal */
  origin: Partial<TypedEvent> | undefined;

  constructor(type: TType, detail: TDetail, origin?: Partial<TypedEvent>) {
    this.type = type;
    this.detail = detail;
    this.target = this.currentTarget = null;
    this.stopped = 0;
    this.defaultPrevented = this.passive = false;
    this.origin = origin;
  }
  get eventPhase(): number {
    return this.currentTarget ? 2 : 0;
  }
  get bubbles(): boolean {
    return false;
  }
  get composed(): boolean {
    return false;
  }
  get isTrusted(): boolean {
    return false;
  }
  get cancelable(): boolean {
    return !!this.origin?.cancelable;
  }
  /** That of the time when it is read: few do, and a dispatch is synchronous. */
  get timeStamp(): number {
    return this.origin?.timeStamp ?? now();
  }
  composedPath(): object[] {
    return this.currentTarget ? [this.currentTarget] : [];
  }
  preventDefault(): void {
    if (this.passive || !this.cancelable) return;
    this.defaultPrevented = true;
    this.origin?.preventDefault?.();
  }
  stopPropagation(): void {
    this.stopped ||= 1;
  }
  stopImmediatePropagation(): void {
    this.stopped = 2;
  }
}

/** Whether the package made it, and no target has had it: then it was checked. */
export const isFresh = (event: unknown): event is LightEvent<string, EventEnvelope> =>
  event instanceof LightEvent && !event.target;

/** The event that a target goes on with: one of `createPubSub`, or of one that was dispatched by hand, checked. */
export function adopt(event: TypedEvent): LightEvent<string, EventEnvelope> {
  if (isFresh(event)) return event;
  const { type, id } = Object(event.detail) as EventEnvelope;
  checkTopic(type, id);
  if (event.type !== `${type}:${id}`) {
    throw new PubSubError("bad_topic", `event ${event.type} has an envelope of ${type}:${id}`);
  }
  return new LightEvent(event.type, event.detail as EventEnvelope, event);
}

/** The event of an envelope for a target that is not ours: a real one, if the runtime has any. */
export function realEvent(topic: string, detail: EventEnvelope): object {
  if (typeof CustomEvent === "function") return new CustomEvent(topic, { detail });
  // Node 18 has Event and no CustomEvent.
  if (typeof Event === "function") return Object.assign(new Event(topic), { detail });
  return new LightEvent(topic, detail);
}
