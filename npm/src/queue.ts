import type { Gap, Loss } from "./types.js";

/** What is lost before one place of the queue. Neighbours merge: the numbers add up, the first reason stays. */
interface Mark {
  missed: number;
  gap: Gap | undefined;
}

const merge = (first: Gap | undefined, second: Gap | undefined): Gap | undefined =>
  !first || !second || first.topic === second.topic
    ? (first ?? second)
    : { type: "__gap", reason: first.reason };

/**
 * What waits to be read, and what is missing between it. Losses are bounded by what waits, as neighbours merge.
 * Without `marks` losses leave no trace here.
 */
export class Queue<T> {
  private items: (T | undefined)[];
  private head: number;
  /** The serial number of the item at the head: the place of its mark. */
  private first: number;
  private readonly marks: Map<number, Mark> | undefined;

  constructor(marks: boolean) {
    this.items = [];
    this.head = this.first = 0;
    this.marks = marks ? new Map() : undefined;
  }

  get size(): number {
    return this.items.length - this.head;
  }

  push(item: T): void {
    this.items.push(item);
  }

  /** The next item or loss; undefined if there is none. */
  shift(): T | Loss | undefined {
    if (this.marks?.size) {
      const mark = this.marks.get(this.first);
      if (mark) {
        const { missed, gap } = mark;
        if (missed && gap) mark.missed = 0;
        else this.marks.delete(this.first);
        return missed ? { type: "__lagged", missed } : gap;
      }
    }
    return this.take();
  }

  /** Drops the item at the head and leaves a mark in its place. */
  dropOldest(): void {
    const before = this.marks?.get(this.first);
    this.marks?.delete(this.first);
    this.take();
    this.mark(this.first, 1 + (before?.missed ?? 0), before?.gap, true);
  }

  /** Leaves a mark behind the last item. */
  lose(missed: number, gap?: Gap): void {
    this.mark(this.first + this.size, missed, gap, false);
  }

  clear(): void {
    this.items = [];
    this.head = 0;
    this.marks?.clear();
  }

  private take(): T | undefined {
    const { items, head } = this;
    if (head === items.length) return undefined;
    const item = items[head];
    items[head] = undefined;
    this.first++;
    this.head++;
    if (this.head === items.length) this.clearItems();
    // Half of it is gone: each item is moved once at most for each that was taken.
    else if (this.head >= 64 && this.head * 2 >= items.length) {
      items.splice(0, this.head);
      this.head = 0;
    }
    return item;
  }

  private clearItems(): void {
    this.items.length = this.head = 0;
  }

  private mark(at: number, missed: number, gap: Gap | undefined, ahead: boolean): void {
    if (!this.marks) return;
    const mark = this.marks.get(at);
    if (!mark) this.marks.set(at, { missed, gap });
    else {
      mark.missed += missed;
      mark.gap = ahead ? merge(gap, mark.gap) : merge(mark.gap, gap);
    }
  }
}
