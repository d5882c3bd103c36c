type Stage<In, Result> = (value: In) => Result;

/**
 * Calls each function with what the one before it returned: `pipe(source, f, g)` is `g(f(source))`. Types are inferred
 * from left to right, for up to 19 functions; at run time any number will do.
 *
 * A pipe of operators costs one microtask per value in all, not one for each operator.
 *
 * @example
 * ```ts
 * const totals = pipe(
 *   pubsub.subscribe("order", "eu"),
 *   filter(({ payload }) => payload.paid),
 *   map(({ payload }) => payload.total),
 * );
 * for await (const total of totals) console.log(total);
 *
 * // Where an operator is no function of one source:
 * pipe(orders, (source) => join(source, returns), take(10), toArray());
 * ```
 */
export function pipe<A>(source: A): A;
export function pipe<A, B>(source: A, ab: Stage<A, B>): B;
export function pipe<A, B, C>(source: A, ab: Stage<A, B>, bc: Stage<B, C>): C;
export function pipe<A, B, C, D>(source: A, ab: Stage<A, B>, bc: Stage<B, C>, cd: Stage<C, D>): D;
export function pipe<A, B, C, D, E>(
  source: A,
  ab: Stage<A, B>,
  bc: Stage<B, C>,
  cd: Stage<C, D>,
  de: Stage<D, E>,
): E;
export function pipe<A, B, C, D, E, F>(
  source: A,
  ab: Stage<A, B>,
  bc: Stage<B, C>,
  cd: Stage<C, D>,
  de: Stage<D, E>,
  ef: Stage<E, F>,
): F;
export function pipe<A, B, C, D, E, F, G>(
  source: A,
  ab: Stage<A, B>,
  bc: Stage<B, C>,
  cd: Stage<C, D>,
  de: Stage<D, E>,
  ef: Stage<E, F>,
  fg: Stage<F, G>,
): G;
export function pipe<A, B, C, D, E, F, G, H>(
  source: A,
  ab: Stage<A, B>,
  bc: Stage<B, C>,
  cd: Stage<C, D>,
  de: Stage<D, E>,
  ef: Stage<E, F>,
  fg: Stage<F, G>,
  gh: Stage<G, H>,
): H;
export function pipe<A, B, C, D, E, F, G, H, I>(
  source: A,
  ab: Stage<A, B>,
  bc: Stage<B, C>,
  cd: Stage<C, D>,
  de: Stage<D, E>,
  ef: Stage<E, F>,
  fg: Stage<F, G>,
  gh: Stage<G, H>,
  hi: Stage<H, I>,
): I;
export function pipe<A, B, C, D, E, F, G, H, I, J>(
  source: A,
  ab: Stage<A, B>,
  bc: Stage<B, C>,
  cd: Stage<C, D>,
  de: Stage<D, E>,
  ef: Stage<E, F>,
  fg: Stage<F, G>,
  gh: Stage<G, H>,
  hi: Stage<H, I>,
  ij: Stage<I, J>,
): J;
export function pipe<A, B, C, D, E, F, G, H, I, J, K>(
  source: A,
  ab: Stage<A, B>,
  bc: Stage<B, C>,
  cd: Stage<C, D>,
  de: Stage<D, E>,
  ef: Stage<E, F>,
  fg: Stage<F, G>,
  gh: Stage<G, H>,
  hi: Stage<H, I>,
  ij: Stage<I, J>,
  jk: Stage<J, K>,
): K;
export function pipe<A, B, C, D, E, F, G, H, I, J, K, L>(
  source: A,
  ab: Stage<A, B>,
  bc: Stage<B, C>,
  cd: Stage<C, D>,
  de: Stage<D, E>,
  ef: Stage<E, F>,
  fg: Stage<F, G>,
  gh: Stage<G, H>,
  hi: Stage<H, I>,
  ij: Stage<I, J>,
  jk: Stage<J, K>,
  kl: Stage<K, L>,
): L;
export function pipe<A, B, C, D, E, F, G, H, I, J, K, L, M>(
  source: A,
  ab: Stage<A, B>,
  bc: Stage<B, C>,
  cd: Stage<C, D>,
  de: Stage<D, E>,
  ef: Stage<E, F>,
  fg: Stage<F, G>,
  gh: Stage<G, H>,
  hi: Stage<H, I>,
  ij: Stage<I, J>,
  jk: Stage<J, K>,
  kl: Stage<K, L>,
  lm: Stage<L, M>,
): M;
export function pipe<A, B, C, D, E, F, G, H, I, J, K, L, M, N>(
  source: A,
  ab: Stage<A, B>,
  bc: Stage<B, C>,
  cd: Stage<C, D>,
  de: Stage<D, E>,
  ef: Stage<E, F>,
  fg: Stage<F, G>,
  gh: Stage<G, H>,
  hi: Stage<H, I>,
  ij: Stage<I, J>,
  jk: Stage<J, K>,
  kl: Stage<K, L>,
  lm: Stage<L, M>,
  mn: Stage<M, N>,
): N;
export function pipe<A, B, C, D, E, F, G, H, I, J, K, L, M, N, O>(
  source: A,
  ab: Stage<A, B>,
  bc: Stage<B, C>,
  cd: Stage<C, D>,
  de: Stage<D, E>,
  ef: Stage<E, F>,
  fg: Stage<F, G>,
  gh: Stage<G, H>,
  hi: Stage<H, I>,
  ij: Stage<I, J>,
  jk: Stage<J, K>,
  kl: Stage<K, L>,
  lm: Stage<L, M>,
  mn: Stage<M, N>,
  no: Stage<N, O>,
): O;
export function pipe<A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P>(
  source: A,
  ab: Stage<A, B>,
  bc: Stage<B, C>,
  cd: Stage<C, D>,
  de: Stage<D, E>,
  ef: Stage<E, F>,
  fg: Stage<F, G>,
  gh: Stage<G, H>,
  hi: Stage<H, I>,
  ij: Stage<I, J>,
  jk: Stage<J, K>,
  kl: Stage<K, L>,
  lm: Stage<L, M>,
  mn: Stage<M, N>,
  no: Stage<N, O>,
  op: Stage<O, P>,
): P;
export function pipe<A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P, Q>(
  source: A,
  ab: Stage<A, B>,
  bc: Stage<B, C>,
  cd: Stage<C, D>,
  de: Stage<D, E>,
  ef: Stage<E, F>,
  fg: Stage<F, G>,
  gh: Stage<G, H>,
  hi: Stage<H, I>,
  ij: Stage<I, J>,
  jk: Stage<J, K>,
  kl: Stage<K, L>,
  lm: Stage<L, M>,
  mn: Stage<M, N>,
  no: Stage<N, O>,
  op: Stage<O, P>,
  pq: Stage<P, Q>,
): Q;
export function pipe<A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P, Q, R>(
  source: A,
  ab: Stage<A, B>,
  bc: Stage<B, C>,
  cd: Stage<C, D>,
  de: Stage<D, E>,
  ef: Stage<E, F>,
  fg: Stage<F, G>,
  gh: Stage<G, H>,
  hi: Stage<H, I>,
  ij: Stage<I, J>,
  jk: Stage<J, K>,
  kl: Stage<K, L>,
  lm: Stage<L, M>,
  mn: Stage<M, N>,
  no: Stage<N, O>,
  op: Stage<O, P>,
  pq: Stage<P, Q>,
  qr: Stage<Q, R>,
): R;
export function pipe<A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P, Q, R, S>(
  source: A,
  ab: Stage<A, B>,
  bc: Stage<B, C>,
  cd: Stage<C, D>,
  de: Stage<D, E>,
  ef: Stage<E, F>,
  fg: Stage<F, G>,
  gh: Stage<G, H>,
  hi: Stage<H, I>,
  ij: Stage<I, J>,
  jk: Stage<J, K>,
  kl: Stage<K, L>,
  lm: Stage<L, M>,
  mn: Stage<M, N>,
  no: Stage<N, O>,
  op: Stage<O, P>,
  pq: Stage<P, Q>,
  qr: Stage<Q, R>,
  rs: Stage<R, S>,
): S;
export function pipe<A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P, Q, R, S, T>(
  source: A,
  ab: Stage<A, B>,
  bc: Stage<B, C>,
  cd: Stage<C, D>,
  de: Stage<D, E>,
  ef: Stage<E, F>,
  fg: Stage<F, G>,
  gh: Stage<G, H>,
  hi: Stage<H, I>,
  ij: Stage<I, J>,
  jk: Stage<J, K>,
  kl: Stage<K, L>,
  lm: Stage<L, M>,
  mn: Stage<M, N>,
  no: Stage<N, O>,
  op: Stage<O, P>,
  pq: Stage<P, Q>,
  qr: Stage<Q, R>,
  rs: Stage<R, S>,
  st: Stage<S, T>,
): T;
export function pipe(source: unknown, ...stages: Stage<unknown, unknown>[]): unknown {
  return stages.reduce((value, stage) => stage(value), source);
}
