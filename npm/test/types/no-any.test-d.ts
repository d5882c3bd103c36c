// No export is `any`, nor has it within reach, so that no mistake passes through this package unseen.
import { test } from "vitest";
import type * as T from "../../src/index.js";
import * as exported from "../../src/index.js";

type IsAny<X> = 0 extends 1 & X ? true : false;
/** Whether there is an `any` in members, parameters and results, four levels down. */
type HasAny<X, Depth extends unknown[] = []> = Depth["length"] extends 4
  ? false
  : IsAny<X> extends true
    ? true
    : // TypeScript's own promises and iterators have some.
      X extends PromiseLike<infer V>
      ? HasAny<V, [...Depth, 0]>
      : X extends (...parameters: infer A) => infer R
        ? { [I in keyof A]: IsAny<A[I]> }[number] | HasAny<R, [...Depth, 0]>
        : X extends object
          ? { [K in keyof X]: HasAny<X[K], [...Depth, 0]> }[keyof X]
          : false;
type Free<X> = true extends HasAny<X> ? false : true;
/** `AsyncGenerator.throw(e: any)`, and iterators that are `AsyncIterator<T, any, any>`, are TypeScript's. */
type Read<S> = Omit<S, "throw" | typeof Symbol.asyncIterator>;

interface Events {
  a: number;
  b: { c: string };
}
type Event = T.TypedEvent<string, T.EnvelopeOf<Events>>;

test("no export is any", () => {
  type Anys = { [K in keyof typeof exported as IsAny<(typeof exported)[K]> extends true ? K : never]: K };
  const anys: Anys[] = [{}];
  const none: keyof Anys extends never ? true : false = true;
  void [exported, anys, none];
});

test("no type has any", () => {
  type All = [
    Free<T.AbortSignalLike>,
    Free<T.BatchOptions>,
    Free<T.Capabilities>,
    Free<T.DedupeOptions<number>>,
    Free<T.EnvelopeOf<Events>>,
    Free<T.EventEnvelope>,
    Free<T.EventTargetLike>,
    Free<T.Flat<number[]>>,
    Free<Read<T.Group<string, number>>>,
    Free<T.GroupByOptions<number>>,
    Free<T.InProcessOptions>,
    Free<T.Loss>,
    Free<T.Notices>,
    Free<T.OnLoss>,
    Free<T.PubSub<Events>>,
    Free<T.PubSubConfig<Events>>,
    Free<T.PubSubError>,
    Free<T.PubSubEventMap>,
    Free<T.PubSubEventTarget<Events>>,
    Free<T.Push>,
    Free<T.Readiness>,
    Free<T.Repeater<number>>,
    Free<T.RepeaterBuffer>,
    Free<T.RepeaterExecutor<number>>,
    Free<Read<T.Stream<number>>>,
    Free<T.SubscribeOptions>,
    Free<T.Subscription<T.EnvelopeOf<Events>>>,
    Free<T.SubscriptionEnd>,
    Free<T.SubscriptionStats>,
    Free<T.TargetHooks>,
    Free<T.ToArrayOptions>,
    Free<T.Topics<"a">>,
    Free<T.TypedEventListenerOrEventListenerObject<Event>>,
    Free<T.TypedEventTarget<Event>>,
    Free<T.TypedListenerOptions>,
    Free<T.WindowOptions>,
  ];
  const free: All[number] extends true ? true : false = true;
  // biome-ignore lint/suspicious/noExplicitAny: what is to be found
  const found: Free<{ deep: () => { an: any } }> = false;
  void [free, found];
});
