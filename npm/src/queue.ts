import type { EventEnvelope, Gap, Loss } from "./types.js";

/** What is missing in one place. Neighbours merge: the numbers add up, the first reason stays. */
interface Missing {
  missed: number;
  gap?: Gap | undefined;
}

export interface Queue {
  /** How many events wait. */
  readonly size: number;
  push(event: EventEnvelope): void;
  /** The next event or loss; undefined if there is none. */
  shift(): EventEnvelope | Loss | undefined;
  /** Drops the event that came first, and keeps that it is missing there. */
  dropOldest(): void;
  /** Keeps that something is missing behind all that waits. */
  lose(loss: Loss): void;
}

export const lagged = (missed: number): Loss => ({ type: "__lagged", missed });
export const isLoss = (item: EventEnvelope | Loss): item is Loss => item.type.startsWith("__");

function merge(into: Missing, loss: Loss): void {
  if (loss.type === "__lagged") into.missed += loss.missed;
  else if (!into.gap) into.gap = loss;
  else if (into.gap.topic !== loss.topic) into.gap = { type: "__gap", reason: into.gap.reason };
}

function takeFrom(from: Missing): Loss | undefined {
  const { missed, gap } = from;
  if (missed) {
    from.missed = 0;
    return lagged(missed);
  }
  from.gap = undefined;
  return gap;
}

/**
 * What waits to be read, and what is missing between it. Losses are bounded by what waits, as neighbours merge. With
 * `losses` false they leave no trace here.
 */
export function createQueue(losses: boolean): Queue {
  const items: (EventEnvelope | Loss | undefined)[] = [];
  let head = 0;
  let size = 0;
  // Before all items, and behind them. There is nothing in front of an empty queue: who drops the oldest pushes then.
  const front: Missing = { missed: 0 };
  const back: Missing = { missed: 0 };

  const take = () => {
    const item = items[head];
    if (item) {
      items[head++] = undefined;
      // Half of it is gone: so each item is moved once at most for each that is taken.
      if (head * 2 >= items.length && (head > 63 || head === items.length)) {
        items.splice(0, head);
        head = 0;
      }
      if (!isLoss(item)) size--;
    }
    return item;
  };
  const drainBack = (to: (loss: Loss) => void) => {
    for (let loss = takeFrom(back); loss; loss = takeFrom(back)) to(loss);
  };
  return {
    get size() {
      return size;
    },
    push(event) {
      drainBack((loss) => items.push(loss));
      items.push(event);
      size++;
    },
    shift: () => takeFrom(front) ?? take() ?? takeFrom(back),
    dropOldest() {
      // With what is missing before it and behind it, which are neighbours then.
      let events = 1;
      for (let item = items[head]; item && (isLoss(item) || events--); item = items[head]) {
        take();
        if (losses) merge(front, isLoss(item) ? item : lagged(1));
      }
      if (!size) drainBack((loss) => merge(front, loss));
    },
    lose(loss) {
      if (losses) merge(back, loss);
    },
  };
}
